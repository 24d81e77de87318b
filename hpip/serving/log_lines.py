# SPDX-License-Identifier: Apache-2.0
"""Writes log lines in a thread, so that a blocked output stream never delays a response."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable

# About 10 MB of access log.
_MAX_LINES = 10_000
_MAX_SECONDS_AT_EXIT = 1.0


class BackgroundHandler(logging.Handler):
    """Writes lines to a file descriptor. If too many wait, it drops lines and logs their number.

    Args:
        descriptor: of stdout or stderr. Not the stream: a blocked write would hold its lock, and
            the process could not exit.
        format_lost: formats the line that reports the number of dropped lines.
    """

    def __init__(self, descriptor: int, format_lost: Callable[[int], str]) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._format_lost = format_lost
        self._lost = 0
        self._lines: queue.Queue[str | None] = queue.Queue(_MAX_LINES)
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`; does not block."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            # `handle` holds the handler's lock.
            self._lost += 1

    def close(self) -> None:
        """Write the waiting lines, for at most a second."""
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            # Nobody reads the stream, so waiting is of no use.
            pass
        else:
            self._thread.join(_MAX_SECONDS_AT_EXIT)
        super().close()

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            self.acquire()
            lost, self._lost = self._lost, 0
            self.release()
            text = f"{self._format_lost(lost)}\n{line}\n" if lost else f"{line}\n"
            if not self._write(text.encode(errors="backslashreplace")):
                return

    def _write(self, data: bytes) -> bool:
        """Write the data; False if the stream is closed."""
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            return False
        return True


def log_in_background(*names: str) -> None:
    """Make loggers write to stderr in the background; replaces their handlers."""
    handler = BackgroundHandler(2, lambda count: f"WARNING hpip: {count} log lines were dropped")
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    for name in names:
        logger = logging.getLogger(name)
        for old in list(logger.handlers):
            logger.removeHandler(old)
        logger.addHandler(handler)
        logger.propagate = False
