# SPDX-License-Identifier: Apache-2.0
"""Tells someone who waits at a terminal what is being done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from hpip.inference.tuning.budget import tell


@contextmanager
def tell_progress(text: str) -> Iterator[None]:
    """Show on stderr what tuning does: a spinner at a terminal, else lines.

    Args:
        text: what to show before tuning has said anything.
    """
    err = Console(stderr=True, soft_wrap=True)
    if not err.is_terminal:
        token = tell.set(lambda line: err.print(line, markup=False, highlight=False))
        try:
            yield
        finally:
            tell.reset(token)
        return
    with err.status(text) as status:
        token = tell.set(status.update)
        try:
            yield
        finally:
            tell.reset(token)
