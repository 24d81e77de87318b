# SPDX-License-Identifier: Apache-2.0
"""Starts the child process of a trial, enforces its limits, and reports how it ended."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import Pipe
from typing import Any, Literal

from hpip.backends.base import Feeds, Probe
from hpip.backends.registry import backend_path
from hpip.common.closing import Closing
from hpip.common.interpreter import child_command
from hpip.common.processes import kill_session
from hpip.common.system import available_memory_bytes, resident_bytes
from hpip.errors import HpipError
from hpip.inference.execution.plan import Plan
from hpip.inference.execution.postprocess import Instances
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.calibrate import Calibration
from hpip.inference.tuning.child_main import TrialWorker, reply
from hpip.inference.tuning.ranking import Sample
from hpip.inference.tuning.records import State
from hpip.types import AnyArray, ModelFiles, PreprocessPlan, UInt8Array

# A process that allocates 1 GB/s is stopped within 0.1 GB of its limit.
_LOOK_EVERY_S = 0.1
# Memory limit of a child, as a share of the memory that is available when it starts.
_MEMORY_SHARE = 0.8


class ChildError(HpipError):
    """A child process failed, or its engine did.

    Attributes:
        state: state of the engine's trial.
        reason: the evidence.
    """

    def __init__(self, state: State, reason: str) -> None:
        self.state = state
        self.reason = reason
        super().__init__(f"{state}: {reason}")


class ChildStartError(HpipError):
    """No child process could be started.

    Not a `ChildError`, because it is no state of an engine's trial.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"no child process could be started: {reason}")


class Child(Closing):
    """Runs one engine in a child process; for one thread. Use it with `with`, or call `close`.

    In a process without a Python interpreter (a frozen application), the engine runs in this
    process, without limits of time and memory.

    Args:
        most_bytes: limit of its resident memory; None for most of the available memory.

    Attributes:
        peak_rss_bytes: peak resident memory of the process so far.

    Raises:
        ChildStartError: the process can't be started; also raised by the first call.
    """

    def __init__(self, most_bytes: int | None = None) -> None:
        free = available_memory_bytes()
        share = None if free is None else int(free * _MEMORY_SHARE)
        self._most_bytes = share if most_bytes is None else most_bytes
        self.peak_rss_bytes = 0
        self._is_ready = False
        self._here: TrialWorker | None = None
        command = child_command("hpip.inference.tuning.child_main")
        if command is None:
            self._here = TrialWorker()
            return
        self._connection, theirs = Pipe()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            # In its own session, so that an interrupt from the keyboard reaches only the parent,
            # which then ends the child.
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=self._stderr,
                stderr=self._stderr,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            self._connection.close()
            self._stderr.close()
            raise ChildStartError(str(error)) from error
        finally:
            theirs.close()

    def probe(self, backend: str, *, limit_s: float) -> Probe:
        """Probe whether an engine is available.

        Raises:
            ChildError: see `open`.
        """
        found: Probe = self._call("probe", backend, backend_path(backend), limit_s=limit_s)
        return found

    def paddle_cuda(self, *, limit_s: float) -> tuple[str, str] | None:
        """Versions of CUDA and cuDNN that Paddle was built with; None for a CPU build.

        Raises:
            ChildError: see `open`.
        """
        found: tuple[str, str] | None = self._call("paddle_cuda", limit_s=limit_s)
        return found

    def open(
        self, plan: Plan, preprocess: PreprocessPlan, engine: Engine, *, limit_s: float
    ) -> tuple[str, dict[str, str]]:
        """Load a plan on an engine.

        Returns:
            The engine's version, and the segments that it can't load, which plain Paddle runs.

        Raises:
            ChildError: the engine failed, crashed, or exceeded the memory or time limit.
        """
        path = backend_path(engine.backend)
        opened: tuple[str, dict[str, str]] = self._call(
            "open", plan, preprocess, engine, path, limit_s=limit_s
        )
        return opened

    def calibrate(
        self, plan: Plan, engine: Engine, calibration: Calibration, *, limit_s: float
    ) -> None:
        """Quantize the segments of a plan to int8, unless the cache has them already.

        Raises:
            ChildError: see `open`.
        """
        path = backend_path(engine.backend)
        self._call("calibrate", plan, engine, calibration, path, limit_s=limit_s)

    def predict(
        self, image: UInt8Array, thresholds: Sequence[float], *, limit_s: float
    ) -> list[Instances]:
        """Return the image's instances at each score threshold.

        Raises:
            ChildError: see `open`.
        """
        found: list[Instances] = self._call("predict", image, tuple(thresholds), limit_s=limit_s)
        return found

    def time(self, image: UInt8Array, threshold: float, *, limit_s: float) -> Sample:
        """Time one image, from pixels to run-length codes.

        Raises:
            ChildError: see `open`.
        """
        sample: Sample = self._call("time", image, threshold, limit_s=limit_s)
        return sample

    def load(self, files: ModelFiles, engine: Engine, *, limit_s: float) -> str:
        """Load a single program on an engine, and return the engine's version.

        Raises:
            ChildError: see `open`.
        """
        return str(self._call("load", files, engine, backend_path(engine.backend), limit_s=limit_s))

    def run(self, feeds: Feeds, *, limit_s: float) -> tuple[list[AnyArray], Sample]:
        """Run the loaded program; returns its outputs and the times.

        Raises:
            ChildError: see `open`.
        """
        outputs, sample = self._call("run", dict(feeds), limit_s=limit_s)
        return list(outputs), sample

    def close(self) -> None:
        """Kill the process. May be called again."""
        if self._here is not None:
            self._here.close()
            return
        self._connection.close()
        kill_session(self._process)
        self._stderr.close()

    def _call(self, method: str, *parameters: object, limit_s: float) -> Any:
        if self._here is not None:
            return self._result(*reply(self._here, method, parameters))
        deadline = time.monotonic() + limit_s
        try:
            if not self._is_ready:
                self._wait(deadline, limit_s)
                self._connection.recv()
                self._is_ready = True
            self._connection.send((method, parameters))
            self._wait(deadline, limit_s)
            kind, result = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._death() from error
        self._look()
        return self._result(kind, result)

    def _result(self, kind: State | Literal["ok"], result: Any) -> Any:
        if kind != "ok":
            raise ChildError(kind, str(result))
        return result

    def _wait(self, deadline: float, limit_s: float) -> None:
        while not self._connection.poll(min(_LOOK_EVERY_S, max(0.0, deadline - time.monotonic()))):
            now_bytes = self._look()
            if self._most_bytes is not None and now_bytes > self._most_bytes:
                kill_session(self._process)
                raise ChildError(
                    "out of memory",
                    f"stopped at {now_bytes / 1e9:.1f} GB, "
                    f"above its limit of {self._most_bytes / 1e9:.1f} GB",
                )
            if time.monotonic() >= deadline:
                kill_session(self._process)
                raise ChildError("hung", f"no result within {limit_s:.3g} s")

    def _look(self) -> int:
        now_bytes, most_bytes = resident_bytes(self._process.pid)
        self.peak_rss_bytes = max(self.peak_rss_bytes, most_bytes)
        return now_bytes

    def _death(self) -> ChildError | ChildStartError:
        code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        last = f": {lines[-1].strip()}" if lines else ""
        if not self._is_ready:
            return ChildStartError(f"it ended with exit code {code}{last}")
        # By name, because Windows has neither SIGKILL nor SIGHUP.
        name = signal.Signals(-code).name if code < 0 else None
        if name == "SIGKILL":
            return ChildError(
                "out of memory",
                "killed by the system, most likely for its memory usage",
            )
        if name in ("SIGTERM", "SIGINT", "SIGHUP"):
            return ChildError("failed", f"the process was stopped by {name}")
        if name is not None:
            return ChildError("crashed", f"process ended by {name}{last}")
        return ChildError("crashed", f"process ended with exit code {code}{last}")
