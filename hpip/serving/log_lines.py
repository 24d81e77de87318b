# SPDX-License-Identifier: Apache-2.0
"""Log lines that are written by a thread, so that a stream nobody reads stops no answer."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable

# About 10 MB of access log.
_MAX_LINES = 10_000
_MOST_SECONDS_AT_EXIT = 1.0


class BackgroundHandler(logging.Handler):
    """Writes lines to a file descriptor; drops them while too many wait, and says how many.

    Args:
        descriptor: of stdout or stderr. Not the stream: its lock, held by a write that never ends,
            would keep the process from ending.
        tell_lost: the line that stands for so many lost ones.
    """

    def __init__(self, descriptor: int, tell_lost: Callable[[int], str]) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._tell_lost = tell_lost
        self._lost = 0
        self._lines: queue.Queue[str | None] = queue.Queue(_MAX_LINES)
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`; never waits."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            # `handle` holds the handler's lock.
            self._lost += 1

    def close(self) -> None:
        """Write what waits, unless that takes longer than a second."""
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            # Nobody reads: so nobody waits.
            pass
        else:
            self._thread.join(_MOST_SECONDS_AT_EXIT)
        super().close()

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            self.acquire()
            lost, self._lost = self._lost, 0
            self.release()
            text = f"{self._tell_lost(lost)}\n{line}\n" if lost else f"{line}\n"
            if not self._write(text.encode(errors="backslashreplace")):
                return

    def _write(self, data: bytes) -> bool:
        """Whether there is still somebody to write for."""
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            return False
        return True


def log_in_background(*names: str) -> None:
    """Let loggers write to stderr without waiting for it; each in place of its own handlers."""
    handler = BackgroundHandler(2, lambda count: f"WARNING hpip: {count} lines of the log are lost")
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    for name in names:
        logger = logging.getLogger(name)
        for old in list(logger.handlers):
            logger.removeHandler(old)
        logger.addHandler(handler)
        logger.propagate = False
