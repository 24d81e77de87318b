# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import threading

from hpip.common.exit_gate import exit_gate


def status_of_child(exit_code: int) -> int:
    """Fork a child that ends with this code as seen after the fork."""
    child = os.fork()
    if not child:
        os._exit(exit_code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_fork_waits_for_the_threads_inside() -> None:
    entered, forking, left = threading.Event(), threading.Event(), threading.Event()

    def stay() -> None:
        with exit_gate.passing():
            entered.set()
            forking.wait(10)
            left.set()

    thread = threading.Thread(target=stay)
    thread.start()
    entered.wait()
    threading.Timer(0.2, forking.set).start()
    child = os.fork()
    if not child:
        os._exit(0 if left.is_set() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()


def test_a_thread_inside_may_fork_and_pass_again() -> None:
    with exit_gate.passing(), exit_gate.passing():
        assert status_of_child(3) == 3
    with exit_gate.passing():
        pass


def test_the_gate_is_open_again_in_both_processes() -> None:
    child = os.fork()
    if not child:
        with exit_gate.passing():
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    passed = threading.Event()

    def enter() -> None:
        with exit_gate.passing():
            passed.set()

    threading.Thread(target=enter, daemon=True).start()
    assert passed.wait(10)
