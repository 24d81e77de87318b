# SPDX-License-Identifier: Apache-2.0
"""Lets no daemon thread be inside an engine while the interpreter ends.

Engines release the GIL while they run. Python before 3.14 ends a thread that wants it back at exit
with pthread_exit, which their bindings (pybind11) turn into an abort of the process.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# An engine that takes longer for one image is left to its fate.
_LONGEST_WAIT_S = 60.0


class _ExitGate:
    """Counts the threads inside; at exit it lets no other one in and waits for those that are."""

    def __init__(self) -> None:
        self._renew()
        os.register_at_fork(after_in_child=self._renew)
        atexit.register(self._close)

    def _renew(self) -> None:
        self._inside = 0
        self._is_closed = False
        self._changed = threading.Condition()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Hold the exit up for the block; when it has begun, wait here until the process is gone.

        The main thread passes: other exit handlers may still want answers.
        """
        changed = self._changed
        with changed:
            while self._is_closed and threading.current_thread() is not threading.main_thread():
                changed.wait()
            self._inside += 1
        try:
            yield
        finally:
            # In a child that was forked inside, the count began anew.
            if changed is self._changed:
                with changed:
                    self._inside -= 1
                    changed.notify_all()

    def _close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: self._inside == 0, _LONGEST_WAIT_S)


exit_gate = _ExitGate()
