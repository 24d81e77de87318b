# SPDX-License-Identifier: Apache-2.0
"""Shows on stderr what tuning does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from hpip.inference.tuning.budget import tell


@contextmanager
def tell_progress(text: str) -> Iterator[None]:
    """Show the steps of tuning on stderr: a spinner at a terminal, else one line for each.

    Args:
        text: shown until tuning reports its first step.
    """
    err = Console(stderr=True, soft_wrap=True)
    if not err.is_terminal:
        token = tell.set(lambda line: err.print(line, markup=False, highlight=False))
        try:
            yield
        finally:
            tell.reset(token)
        return
    with err.status(escape(text)) as status:
        token = tell.set(lambda line: status.update(escape(line)))
        try:
            yield
        finally:
            tell.reset(token)
