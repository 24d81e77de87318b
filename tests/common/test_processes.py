# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys

from hpip.common.processes import at_fork, kill_session

# A child that prints the id of its own child, which would run for a minute.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
child.wait()
"""


def test_killing_a_session_ends_the_children_of_the_child_too() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    with process.stdout as stdout:
        grandchild = int(stdout.readline())
        kill_session(process)
        # The pipe ends when the last process that may write to it has ended.
        assert stdout.read() == ""
    assert grandchild != process.pid
    assert process.returncode == -9
    kill_session(process)


def test_calls_around_a_fork_run_on_their_side() -> None:
    calls: list[str] = []
    at_fork(
        before=lambda: calls.append("before"),
        after_in_parent=lambda: calls.append("parent"),
        after_in_child=lambda: calls.append("child"),
    )
    child = os.fork()
    if not child:
        os._exit(0 if calls == ["before", "child"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert calls == ["before", "parent"]
