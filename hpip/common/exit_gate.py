# SPDX-License-Identifier: Apache-2.0
"""Lets no thread be inside an engine while the interpreter ends or the process forks.

Engines release the GIL while they run. Python before 3.14 ends a thread that wants it back at exit
with pthread_exit, which their bindings (pybind11) turn into an abort of the process. A fork in the
middle of a run copies locks that an engine's threads hold; in the child nobody releases them.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hpip.common.processes import at_fork

# Exit and fork do not wait longer for one image.
_LONGEST_WAIT_S = 60.0


class _ExitGate:
    """Counts the threads inside; exit and fork let no other one in and wait for those that are."""

    def __init__(self) -> None:
        self._renew()
        at_fork(before=self._pause, after_in_parent=self._resume, after_in_child=self._renew)
        atexit.register(self._close)

    def _renew(self) -> None:
        self._inside: list[int] = []
        self._is_closed = False
        self._forking = 0
        self._changed = threading.Condition()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Hold exit and forks up for the block; wait here while one of them has begun.

        At exit the main thread passes: other exit handlers may still want answers. A thread that
        is inside passes again.
        """
        changed, own = self._changed, threading.get_ident()
        with changed:
            changed.wait_for(lambda: own in self._inside or self._may_pass())
            self._inside.append(own)
        try:
            yield
        finally:
            # In a child that was forked inside, the count began anew.
            if changed is self._changed:
                with changed:
                    self._inside.remove(own)
                    changed.notify_all()

    def _may_pass(self) -> bool:
        is_main = threading.current_thread() is threading.main_thread()
        return not self._forking and (is_main or not self._is_closed)

    def _pause(self) -> None:
        own = threading.get_ident()
        with self._changed:
            self._forking += 1
            self._changed.wait_for(
                lambda: all(thread == own for thread in self._inside), _LONGEST_WAIT_S
            )

    def _resume(self) -> None:
        with self._changed:
            self._forking -= 1
            self._changed.notify_all()

    def _close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: not self._inside, _LONGEST_WAIT_S)


exit_gate = _ExitGate()
