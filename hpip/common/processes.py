# SPDX-License-Identifier: Apache-2.0
"""What POSIX systems know about processes and Windows does not: forks and process groups."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess


def _nothing() -> None:
    pass


def at_fork(
    *,
    after_in_child: Callable[[], object],
    before: Callable[[], object] = _nothing,
    after_in_parent: Callable[[], object] = _nothing,
) -> None:
    """See `os.register_at_fork`; without effect on Windows, where no process forks."""
    if sys.platform != "win32":
        os.register_at_fork(
            before=before, after_in_parent=after_in_parent, after_in_child=after_in_child
        )


def kill_session(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """Kill a child that was started with `start_new_session`, with its own children; wait for it.

    Without effect if it has ended already. Windows has no sessions: only the child is killed there.
    """
    if process.poll() is None:
        if sys.platform == "win32":
            process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    process.wait()
