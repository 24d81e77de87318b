# SPDX-License-Identifier: Apache-2.0
"""A pool of sessions for several threads; each lease is exclusive."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hpip.backends.base import Session
from hpip.common.exit_gate import exit_gate
from hpip.common.keep_alive import keep_alive
from hpip.errors import BackendError


class SessionPool:
    """Opens up to `size` sessions on demand and leases each to one thread at a time.

    Fork-safe: a child process opens new sessions, since an engine's threads do not survive a fork.

    Args:
        open_session: opens a session; called at most `size` times per process.
        size: maximum number of sessions. More than one increases the throughput of concurrent
            requests, since engines use few threads more efficiently than many.
    """

    def __init__(self, open_session: Callable[[], Session], size: int = 1) -> None:
        self._open_session = open_session
        self._size = size
        self._closed = False
        self._start()
        _POOLS.add(self)

    def _start(self) -> None:
        self._free: list[Session] = []
        self._opened = 0
        self._changed = threading.Condition()

    @contextmanager
    def lease(self) -> Iterator[Session]:
        """Wait for a free session and lease it for the block.

        Raises:
            BackendError: the pool is closed.
        """
        with exit_gate.passing():
            changed = self._changed
            session = self._take()
            try:
                yield session
            finally:
                if changed is self._changed:
                    self._give_back(session)
                else:  # The block forked, and this is the child.
                    keep_alive(session)

    def fill(self) -> None:
        """Open all sessions now; they share weights in memory if the engine supports it."""
        with self.lease() as first:
            more: list[Session] = []
            try:
                while len(more) < self._size - 1:
                    more.append(first.clone() or self._open_session())
            except BaseException:
                for session in more:
                    session.close()
                raise
            with self._changed:
                self._opened += len(more)
                self._free += more
                self._changed.notify_all()

    def close(self) -> None:
        """Close all sessions, after waiting for active leases. Closing twice does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self._free) == self._opened)
            for session in self._free:
                session.close()
            self._free.clear()
            self._opened = 0

    def _take(self) -> Session:
        with self._changed:
            self._changed.wait_for(lambda: self._free or self._opened < self._size or self._closed)
            if self._closed:
                raise BackendError("session pool", "run", "it is closed; create a new predictor")
            if self._free:
                return self._free.pop()
            self._opened += 1
        try:
            return self._open_session()
        except BaseException:
            with self._changed:
                self._opened -= 1
                self._changed.notify()
            raise

    def _give_back(self, session: Session) -> None:
        with self._changed:
            self._free.append(session)
            self._changed.notify_all()

    def _restart(self) -> None:
        """Leave the parent process' sessions alone: freeing them waits for threads not here."""
        keep_alive(self._free)
        self._start()


_POOLS: weakref.WeakSet[SessionPool] = weakref.WeakSet()


def _restart_all() -> None:
    for pool in _POOLS:
        pool._restart()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart_all)
