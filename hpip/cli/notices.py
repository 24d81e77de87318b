# SPDX-License-Identifier: Apache-2.0
"""Shows the library's warnings that a command's user can do something about."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

# The others of the library's log are told by the command itself, such as its failed inputs.
_SHOWN = "hpip.results.label_text"


class _Notices(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(f"warning: {record.getMessage()}", markup=False, highlight=False)


@contextmanager
def warnings_printed(console: Console) -> Iterator[None]:
    """Print warnings about drawing on the console, above its progress bar, for the block.

    Where the log is on (`HPIP_LOG`), it shows them already.
    """
    logger = logging.getLogger(_SHOWN)
    if logger.getEffectiveLevel() > logging.WARNING or _is_shown():
        yield
        return
    handler = _Notices(console)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _is_shown() -> bool:
    handlers = logging.getLogger("hpip").handlers
    return any(not isinstance(handler, logging.NullHandler) for handler in handlers)
