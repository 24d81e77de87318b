# SPDX-License-Identifier: Apache-2.0
"""One thread that runs the calls of all others, for libraries that are not thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from hpip.common.processes import at_fork

_Result = TypeVar("_Result")
_Queue: TypeAlias = "SimpleQueue[tuple[Callable[[], Any], Future[Any]]]"


class SerialThread:
    """Runs calls in one thread, in the order in which they come.

    The thread starts with the first call and lives as long as the process; a forked process starts
    its own. It is a daemon thread, so callers that must not be cut off at exit hold up the exit
    themselves, as leases of a `SessionPool` do.

    Args:
        name: name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        at_fork(after_in_child=self._renew)
        self._renew()

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._queue: _Queue = SimpleQueue()

    def run(self, call: Callable[[], _Result]) -> _Result:
        """Run a call in the thread and return its result; its exceptions are raised here.

        Ctrl-C cancels a call that has not begun, and is raised after the end of one that has: it
        still uses what the caller may free next.
        """
        if threading.current_thread() is self._thread:
            return call()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_work, args=(self._queue,), name=self._name, daemon=True
                )
                self._thread.start()
        future: Future[_Result] = Future()
        try:
            self._queue.put((call, future))
            return future.result()
        finally:
            if not future.cancel():
                wait([future])


def _work(queue: _Queue) -> None:
    while True:
        call, future = queue.get()
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)
        # While the thread waits, it must not keep inputs and results in memory.
        del call, future
