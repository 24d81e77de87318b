# SPDX-License-Identifier: Apache-2.0
"""One limit of time for everything that a fetch does on the network."""

from __future__ import annotations

import contextlib
import socket
import threading
from time import monotonic
from types import TracebackType


class Deadline:
    """Shuts the connections that it watches when the time is up; a context manager.

    A socket's own timeout begins anew with every byte, so a peer that sends one now and then would
    never meet it: in a head, in the middle of a TLS handshake, or in a body.

    Args:
        timeout_s: from now on.
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
        """Whether the time is up."""
        return monotonic() >= self._ends_s

    def left_s(self) -> float:
        """Seconds that are left, more than 0.

        Raises:
            TimeoutError: there are none.
        """
        left_s = self._ends_s - monotonic()
        if left_s <= 0:
            raise TimeoutError("the time is up")
        return left_s

    def watch(self, connection: socket.socket) -> None:
        """Shut this connection at the end of the time.

        A second handle is kept: TLS takes the socket's own handle away from it.
        """
        with self._lock:
            self._watched.append(connection.dup())
        if self.has_passed:
            self._shut_all()

    def _shut_all(self) -> None:
        with self._lock:
            for connection in self._watched:
                # OSError: the peer was faster.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
