# SPDX-License-Identifier: Apache-2.0
"""Selects from all available arrays those that a session takes."""

from __future__ import annotations

from collections.abc import Mapping

from hpip.backends.base import Session
from hpip.types import AnyArray


def session_feeds(session: Session, arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """The arrays that the session takes as inputs, by name.

    An engine may have removed inputs that the graph does not use, and a session rejects names
    that it does not know.

    Args:
        session: the session to run.
        arrays: at least one array per input of the session.
    """
    return {name: arrays[name] for name in session.input_names}
