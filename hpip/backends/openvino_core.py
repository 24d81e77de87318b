# SPDX-License-Identifier: Apache-2.0
"""The one OpenVINO core of this process, which lives until the process ends."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from hpip.common.keep_alive import keep_alive
from hpip.errors import BackendError

if TYPE_CHECKING:
    from openvino import Core

_lock = threading.Lock()
_core: Core | None = None
_is_inherited = False


def require_no_fork() -> None:
    """Check that OpenVINO works in this process as far as forks go; loads nothing.

    Raises:
        BackendError: this process was forked from one that had created its core. oneTBB's threads
            do not exist here, and some calls would wait for them without end.
    """
    if _is_inherited:
        raise BackendError(
            "openvino",
            "open",
            f"process {os.getpid()} was forked from one that had used OpenVINO, whose threads do "
            "not survive a fork. Create the predictor after the fork, or start processes with "
            "multiprocessing's 'spawn' or 'forkserver'.",
        )


def core() -> Core:
    """Return the core; the first call creates it.

    It is never destroyed. On processors with AMX it gives the thread that creates it a stack for
    signal handlers, and takes that memory back wherever it is destroyed: destroyed in another
    thread, the next Ctrl-C crashed the process (OpenVINO 2026.4, `SigAltStackSetup`).

    Raises:
        BackendError: see `require_no_fork`.
        ImportError, OSError, RuntimeError: OpenVINO can't be loaded.
    """
    global _core
    require_no_fork()
    with _lock:
        if _core is None:
            import openvino

            _core = openvino.Core()
            keep_alive(_core)
        return _core


def _after_fork() -> None:
    global _lock, _is_inherited
    _lock, _is_inherited = threading.Lock(), _core is not None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
