# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from hpip.common.serial_thread import SerialThread
from tests.own_process import run_code


def test_calls_of_many_threads_run_in_one_thread_and_never_together() -> None:
    serial = SerialThread("test")
    inside: list[int] = []
    threads: set[int] = set()

    def call(number: int) -> int:
        inside.append(number)
        time.sleep(0.001)
        assert inside == [number]
        inside.clear()
        threads.add(threading.get_ident())
        return 2 * number

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: serial.run(lambda: call(number)), range(40)))
    assert results == [2 * number for number in range(40)]
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_an_exception_is_raised_in_the_caller_and_the_next_call_runs() -> None:
    serial = SerialThread("test")

    def fail() -> None:
        raise LookupError("no such kernel")

    with pytest.raises(LookupError, match="no such kernel"):
        serial.run(fail)
    assert serial.run(lambda: 3) == 3


def test_a_call_may_make_calls() -> None:
    serial = SerialThread("test")
    assert serial.run(lambda: serial.run(lambda: 4) + 1) == 5


def test_it_keeps_neither_arguments_nor_results() -> None:
    class Large:
        pass

    serial = SerialThread("test")

    def make(given: Large) -> Large:
        return Large()

    given = Large()
    made = serial.run(partial(make, given))
    watched = [weakref.ref(given), weakref.ref(made)]
    del given, made
    deadline = time.monotonic() + 30
    while any(one() is not None for one in watched) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [one() for one in watched] == [None, None]


def run(code: str) -> None:
    done = run_code(PREPARED + code)
    assert (done.returncode, done.stderr) == (0, "")


# A process in the background of a shell ignores Ctrl-C unless it asks for it.
PREPARED = """
import os, signal, threading, time
from hpip.common.serial_thread import SerialThread
signal.signal(signal.SIGINT, signal.default_int_handler)
serial = SerialThread("test")
entered, leave = threading.Event(), threading.Event()
def hold():
    entered.set()
    leave.wait(30)
def occupy():
    holder = threading.Thread(target=lambda: serial.run(hold))
    holder.start()
    entered.wait(30)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_child_that_is_forked_during_a_call_has_a_thread_of_its_own() -> None:
    run(
        """
occupy()
child = os.fork()
if not child:
    os._exit(serial.run(lambda: 7))
_, status = os.waitpid(child, 0)
leave.set()
assert os.waitstatus_to_exitcode(status) == 7
"""
    )


@pytest.mark.skipif(os.name != "posix", reason="the system has no signals between threads")
def test_ctrl_c_reaches_the_caller_after_the_call_has_ended() -> None:
    run(
        """
ended = threading.Event()
def interrupted():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
    ended.set()
try:
    serial.run(interrupted)
except KeyboardInterrupt:
    assert ended.is_set()
else:
    raise AssertionError("Ctrl-C was lost")
"""
    )


@pytest.mark.skipif(os.name != "posix", reason="the system has no signals between threads")
def test_ctrl_c_cancels_a_call_that_waits_for_its_turn() -> None:
    run(
        """
ran = threading.Event()
occupy()
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    serial.run(ran.set)
except KeyboardInterrupt:
    leave.set()
serial.run(lambda: None)
assert leave.is_set() and not ran.is_set()
"""
    )
