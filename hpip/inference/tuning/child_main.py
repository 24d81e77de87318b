# SPDX-License-Identifier: Apache-2.0
"""The child process of a trial: loads a model on one engine, and runs images on request.

Started as `python -m hpip.inference.tuning.child_main FD`, where FD is the child's end of a pipe.
Each message is a method name with arguments; each reply is ("ok", result) or (state, message).
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import signal
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from hpip.backends.base import Feeds, Probe, Session
from hpip.backends.paddle import PaddleBackend
from hpip.backends.registry import backend_named, register_backend
from hpip.errors import (
    BackendError,
    BackendUnavailableError,
    GraphRewriteError,
    HpipError,
    InvalidInputError,
)
from hpip.inference.execution.feeds import session_feeds
from hpip.inference.execution.plan import Plan
from hpip.inference.execution.postprocess import InstanceFilter, Instances
from hpip.inference.execution.runner import Engine, Runner, open_session
from hpip.inference.tuning.calibrate import Calibration, calibrate
from hpip.inference.tuning.ranking import Sample, timed
from hpip.inference.tuning.records import State
from hpip.types import AnyArray, ModelFiles, PreprocessPlan, UInt8Array

_NO_MEMORY = re.compile("bad_alloc|out of memory|ResourceExhausted|allocate memory", re.IGNORECASE)
_PR_SET_PDEATHSIG = 1
# hpip's own decisions, which do not depend on the state of the machine.
_REFUSALS = (BackendUnavailableError, GraphRewriteError, InvalidInputError)


class _AbsentError(Exception):
    """The engine or its device is not available."""


class TrialWorker:
    """The methods that the parent may call."""

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._session: Session | None = None

    def probe(self, backend: str, backend_path: str) -> Probe:
        """Probe whether an engine is available."""
        register_backend(backend, backend_path)
        return backend_named(backend).probe()

    def paddle_cuda(self) -> tuple[str, str] | None:
        """Versions of CUDA and cuDNN that Paddle was built with."""
        return PaddleBackend().cuda_versions()

    def open(
        self, plan: Plan, preprocess: PreprocessPlan, engine: Engine, backend_path: str
    ) -> tuple[str, dict[str, str]]:
        """Load a plan on an engine, and close the one that was loaded before.

        Returns:
            The engine's version, and the segments that it can't load, which plain Paddle runs.
        """
        version = _probe(engine, backend_path)
        if self._runner is not None:
            self._runner.close()
            self._runner = None
        # Builds for the CPU take only seconds, so a trial does not store them in the cache.
        with tempfile.TemporaryDirectory(prefix="hpip-trial-") as folder:
            build_dir = Path(folder) if engine.device.kind == "cpu" else None
            self._runner = Runner(plan, preprocess, engine, build_dir=build_dir)
        for reason in self._runner.refused.values():
            # With free memory the engine may run this segment too, so the trial has to fail.
            if _NO_MEMORY.search(reason):
                raise BackendError(engine.backend, "open", reason)
        return version, self._runner.refused

    def calibrate(
        self, plan: Plan, engine: Engine, calibration: Calibration, backend_path: str
    ) -> None:
        """Quantize the segments of a plan to int8, unless the cache has them already."""
        _probe(engine, backend_path)
        calibrate(plan, engine, calibration)

    def load(self, files: ModelFiles, engine: Engine, backend_path: str) -> str:
        """Load a single program, and return the engine's version."""
        version = _probe(engine, backend_path)
        self._session = open_session(files, engine)
        return version

    def run(self, feeds: Feeds) -> tuple[list[AnyArray], Sample]:
        """Run the loaded program; returns its outputs and the times."""
        if self._session is None:
            raise RuntimeError("run was called before load")
        session = self._session
        return timed(lambda: session.run(session_feeds(session, feeds)))

    def predict(self, image: UInt8Array, thresholds: Sequence[float]) -> list[Instances]:
        """Return the image's instances at each score threshold."""
        return self._open_runner().infer_at(image, [InstanceFilter(t) for t in thresholds])

    def time(self, image: UInt8Array, threshold: float) -> Sample:
        """Time one image, from pixels to run-length codes."""
        runner = self._open_runner()
        _, sample = timed(lambda: runner.infer([image], InstanceFilter(threshold)))
        return sample

    def close(self) -> None:
        """Free the networks' memory."""
        for opened in (self._runner, self._session):
            if opened is not None:
                opened.close()
        self._runner = self._session = None

    def _open_runner(self) -> Runner:
        if self._runner is None:
            raise RuntimeError("a prediction was requested before open")
        return self._runner


def _probe(engine: Engine, backend_path: str) -> str:
    """Version of an engine; raises an error if it or its device is not available."""
    register_backend(engine.backend, backend_path)
    probe = backend_named(engine.backend).probe()
    if probe.version is None and probe.broken:
        # It may load again without another version: a library is installed, memory is free.
        raise BackendError(engine.backend, "load", probe.reason)
    if probe.version is None:
        raise _AbsentError(probe.reason)
    if str(engine.device) not in probe.devices:
        raise _AbsentError(f"it does not support {engine.device}, only {', '.join(probe.devices)}")
    return probe.version


def main(arguments: Sequence[str]) -> None:
    """Handle the parent's messages until it closes the pipe."""
    be_expendable()
    connection, worker = Connection(int(arguments[0])), TrialWorker()
    connection.send("ready")
    while True:
        try:
            method, parameters = connection.recv()
        except EOFError:
            return
        connection.send(reply(worker, method, parameters))


def reply(
    worker: TrialWorker, method: str, parameters: Sequence[Any]
) -> tuple[State | Literal["ok"], Any]:
    """Run a method of the worker; returns "ok" and its result, or a state and the evidence."""
    try:
        return "ok", getattr(worker, method)(*parameters)
    except _AbsentError as error:
        return "absent", str(error)
    except MemoryError as error:
        return "out of memory", f"out of memory {error}".strip()
    except _REFUSALS as error:
        return "refused", str(error)
    except (HpipError, OSError) as error:
        message = str(error) if isinstance(error, HpipError) else f"{type(error).__name__}: {error}"
        return "out of memory" if _NO_MEMORY.search(message) else "failed", message
    except Exception as error:  # an engine's exception is a result of the trial
        message = f"{type(error).__name__}: {error}"
        return "out of memory" if _NO_MEMORY.search(message) else "crashed", message


def be_expendable() -> None:
    """End with the parent, and make the OOM killer choose this process first."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
