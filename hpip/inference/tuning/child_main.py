# SPDX-License-Identifier: Apache-2.0
"""The child process of a trial: opens one engine and runs pictures through it as it is told.

Started as `python -m hpip.inference.tuning.child_main FD`, where FD is its end of a pipe. Each
message is a method's name and its arguments, each reply ("ok", result) or (kind of failure,
message).
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
from time import perf_counter
from typing import Any, Literal

from hpip.backends.base import Feeds, Probe, Session
from hpip.backends.paddle import PaddleBackend
from hpip.backends.registry import backend_named, register_backend
from hpip.errors import HpipError
from hpip.inference.execution.plan import Plan
from hpip.inference.execution.postprocess import Instances, Selection
from hpip.inference.execution.runner import Engine, Runner, open_session
from hpip.inference.tuning.calibrate import Calibration, calibrate
from hpip.inference.tuning.records import State
from hpip.types import AnyArray, ModelFiles, PreprocessPlan, UInt8Array

_NO_MEMORY = re.compile("bad_alloc|out of memory|ResourceExhausted|allocate memory", re.IGNORECASE)
_PR_SET_PDEATHSIG = 1


class _AbsentError(Exception):
    """The engine or its device is not here."""


class Workplace:
    """What the parent may ask for."""

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._session: Session | None = None

    def probe(self, backend: str, backend_path: str) -> Probe:
        """Whether an engine is here."""
        register_backend(backend, backend_path)
        return backend_named(backend).probe()

    def paddle_cuda(self) -> tuple[str, str] | None:
        """Versions of CUDA and cuDNN that Paddle was built with."""
        return PaddleBackend().cuda_versions()

    def open(
        self, plan: Plan, preprocess: PreprocessPlan, engine: Engine, backend_path: str
    ) -> tuple[str, dict[str, str]]:
        """Load a plan on an engine, in place of an earlier one.

        Returns:
            The engine's version, and the segments that it refused, which plain Paddle runs.
        """
        version = _probe(engine, backend_path)
        if self._runner is not None:
            self._runner.close()
            self._runner = None
        # What is built for the CPU takes a second or two: what loses the trial leaves none of it.
        with tempfile.TemporaryDirectory(prefix="hpip-trial-") as folder:
            build_dir = Path(folder) if engine.device.kind == "cpu" else None
            self._runner = Runner(plan, preprocess, engine, build_dir=build_dir)
        return version, self._runner.refused

    def calibrate(
        self, plan: Plan, engine: Engine, calibration: Calibration, backend_path: str
    ) -> None:
        """Make a plan's segments in int8, where they are not in the cache yet."""
        _probe(engine, backend_path)
        calibrate(plan, engine, calibration)

    def load(self, files: ModelFiles, engine: Engine, backend_path: str) -> str:
        """Load a program without anything around it; returns the engine's version."""
        version = _probe(engine, backend_path)
        self._session = open_session(files, engine)
        return version

    def run(self, feeds: Feeds) -> tuple[list[AnyArray], float]:
        """The loaded program's outputs, and the milliseconds that they took."""
        if self._session is None:
            raise RuntimeError("nothing was loaded")
        start = perf_counter()
        outputs = self._session.run({name: feeds[name] for name in self._session.input_names})
        return outputs, (perf_counter() - start) * 1e3

    def answer(self, image: UInt8Array, thresholds: Sequence[float]) -> list[Instances]:
        """The image's instances at each threshold."""
        return self._open_runner().infer_at(image, [Selection(t) for t in thresholds])

    def time_ms(self, image: UInt8Array, threshold: float) -> float:
        """Milliseconds for one image, from pixels to run-length codes."""
        runner = self._open_runner()
        start = perf_counter()
        runner.infer([image], Selection(threshold))
        return (perf_counter() - start) * 1e3

    def close(self) -> None:
        """Free the networks' memory."""
        for opened in (self._runner, self._session):
            if opened is not None:
                opened.close()
        self._runner = self._session = None

    def _open_runner(self) -> Runner:
        if self._runner is None:
            raise RuntimeError("nothing was opened")
        return self._runner


def _probe(engine: Engine, backend_path: str) -> str:
    """Version of an engine that is here and has the device."""
    register_backend(engine.backend, backend_path)
    probe = backend_named(engine.backend).probe()
    if probe.version is None:
        raise _AbsentError(probe.reason)
    if str(engine.device) not in probe.devices:
        raise _AbsentError(f"it has no {engine.device}, only {', '.join(probe.devices)}")
    return probe.version


def main(arguments: Sequence[str]) -> None:
    """Serve one parent until it hangs up."""
    _be_expendable()
    connection, workplace = Connection(int(arguments[0])), Workplace()
    connection.send("ready")
    while True:
        try:
            method, parameters = connection.recv()
        except EOFError:
            return
        connection.send(reply(workplace, method, parameters))


def reply(
    workplace: Workplace, method: str, parameters: Sequence[Any]
) -> tuple[State | Literal["ok"], Any]:
    """Do what was asked for; returns "ok" and the result, or a state and the evidence for it."""
    try:
        return "ok", getattr(workplace, method)(*parameters)
    except _AbsentError as error:
        return "absent", str(error)
    except MemoryError as error:
        return "out of memory", f"out of memory {error}".strip()
    except HpipError as error:
        return "out of memory" if _NO_MEMORY.search(str(error)) else "refused", str(error)
    except Exception as error:  # whatever an engine throws is evidence against it, not a bug here
        return "out of memory" if _NO_MEMORY.search(
            str(error)
        ) else "crashed", f"{type(error).__name__}: {error}"


def _be_expendable() -> None:
    """End with the parent, and be the first to go when the machine runs out of memory."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
