# SPDX-License-Identifier: Apache-2.0
"""One time limit for all network operations of a download."""

from __future__ import annotations

import contextlib
import socket
import threading
from time import monotonic
from types import TracebackType


class Deadline:
    """A context manager that shuts down its watched connections at the end of a time limit.

    A socket's own timeout restarts with every byte. A peer that sends single bytes, in a header, a
    TLS handshake or a body, would never exceed it.

    Args:
        timeout_s: the time limit, which starts now.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = min(timeout_s, threading.TIMEOUT_MAX)
        self._ends_s = monotonic() + self._timeout_s
        self._watched: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(self._timeout_s, self._shut_all)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for connection in self._watched:
                connection.close()
            self._watched.clear()

    @property
    def has_passed(self) -> bool:
        """Whether the time limit has passed."""
        return monotonic() >= self._ends_s

    def left_s(self) -> float:
        """Remaining time in seconds, greater than 0.

        Raises:
            TimeoutError: the time limit has passed.
        """
        left_s = self._ends_s - monotonic()
        if left_s <= 0:
            raise TimeoutError(f"the time limit of {self._timeout_s:g} s has passed")
        return left_s

    def watch(self, connection: socket.socket) -> None:
        """Shut this connection down when the time limit passes.

        Keeps a duplicate of the socket's handle, because TLS detaches the original one.
        """
        with self._lock:
            self._watched.append(connection.dup())
        if self.has_passed:
            self._shut_all()

    def _shut_all(self) -> None:
        with self._lock:
            for connection in self._watched:
                # OSError: the peer has closed the connection already.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
