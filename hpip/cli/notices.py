# SPDX-License-Identifier: Apache-2.0
"""Shows the library's warnings that a command's user can do something about."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

# The others of the library's log are told by the command itself, such as its failed inputs.
_SHOWN = (
    "hpip.common.cache",
    "hpip.inference.fallback",
    "hpip.inference.tuning.choose",
    "hpip.results.label_text",
)


class _Notices(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._printed:
            self._printed.add(text)
            self._console.print(f"warning: {text}", markup=False, highlight=False)


@contextmanager
def warnings_printed(console: Console) -> Iterator[None]:
    """Print warnings on the console for the block, each once, above its progress bar.

    Where the log is on (`HPIP_LOG`), it shows them already.
    """
    loggers = [logging.getLogger(name) for name in _SHOWN]
    if loggers[0].getEffectiveLevel() > logging.WARNING or _is_shown():
        yield
        return
    handler = _Notices(console)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def _is_shown() -> bool:
    handlers = logging.getLogger("hpip").handlers
    return any(not isinstance(handler, logging.NullHandler) for handler in handlers)
