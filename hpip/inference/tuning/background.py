# SPDX-License-Identifier: Apache-2.0
"""Continues the tuning of a model in a child process of low priority, while it already serves."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path

from hpip.backends.registry import backend_names, backend_path
from hpip.common.cache import Cache
from hpip.common.closing import Closing
from hpip.common.interpreter import child_command
from hpip.common.system import available_memory_bytes
from hpip.errors import HpipError
from hpip.inference.tuning.budget import THOROUGH_BUDGET_S, Limits
from hpip.inference.tuning.candidates import TuningRequest
from hpip.inference.tuning.tune import Tuned

logger = logging.getLogger(__name__)

# A trial in the background leaves most of the memory to the process that serves.
_MEMORY_SHARE = 0.5


@dataclass(frozen=True)
class BackgroundJob:
    """What the child process does.

    Attributes:
        request: the model and the caller's options.
        cache_folder: where results are stored.
        backends: import paths of the engines, by name.
        limits: time and memory limits.
    """

    request: TuningRequest
    cache_folder: Path
    backends: Mapping[str, str]
    limits: Limits


class BackgroundTuning(Closing):
    """Tunes one request in a child process, which ends with this process or with `close`.

    The child has the lowest priority: it uses CPU time that nobody else wants.

    Args:
        request: the model and the caller's options.
        cache: where results are stored.
        on_result: called in a thread with the result; not called after a failure, which is
            logged, or after `close`.
    """

    def __init__(
        self, request: TuningRequest, cache: Cache, on_result: Callable[[Tuned], None]
    ) -> None:
        free = available_memory_bytes()
        limits = Limits(
            THOROUGH_BUDGET_S,
            memory_bytes=None if free is None else int(_MEMORY_SHARE * free),
        )
        backends = {name: backend_path(name) for name in backend_names()}
        self._job = BackgroundJob(request, cache.base, backends, limits)
        self._on_result = on_result
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        self._owner_pid = os.getpid()
        # Linux ends the child with the thread that started it, so this one waits for the child.
        self._thread = threading.Thread(target=self._run, name="hpip-tuning", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop tuning. May be called again, and by `on_result`; a forked process stops nothing."""
        if os.getpid() != self._owner_pid:
            return
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                self._process.kill()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        name = self._job.request.spec.model_name
        try:
            tuned = self._result()
            if not self._is_closed:
                self._on_result(tuned)
        except (OSError, EOFError, HpipError) as error:
            if not self._is_closed:
                logger.warning("tuning of %s in the background failed: %s", name, error)

    def _result(self) -> Tuned:
        """Start the child, and wait for its result.

        Raises:
            OSError, EOFError: the child can't be started, or ended without a result.
        """
        command = child_command("hpip.inference.tuning.background_main")
        if command is None:
            raise OSError("there is no Python interpreter")
        ours, theirs = Pipe()
        with ours:
            with theirs:
                process = self._start(command, theirs.fileno())
            try:
                ours.send(self._job)
                tuned: Tuned = ours.recv()
                return tuned
            except EOFError as error:
                raise EOFError(f"its process ended with exit code {process.wait()}") from error
            finally:
                process.kill()
                process.wait()

    def _start(self, command: list[str], descriptor: int) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_closed:
                raise OSError("it was stopped")
            self._process = subprocess.Popen(
                [*command, str(descriptor)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[descriptor],
                start_new_session=True,
            )
            return self._process


def lower_priority() -> None:
    """Give this process, and the processes that it will start, the lowest priority."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.nice(19)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        # With autogrouping, CPUs are divided among sessions, whatever their processes' priority.
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text("19")
