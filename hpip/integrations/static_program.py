# SPDX-License-Identifier: Apache-2.0
"""Any static Paddle program on the fastest engine that gives the right answer.

Nothing is known about such a program but its inputs and outputs: it is not cut, engines are tried
on the first real inputs that it gets, and plain Paddle stays behind it.
"""

from __future__ import annotations

import json
import logging
import statistics
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias

import numpy as np

from hpip._core import __version__
from hpip.backends.pool import SessionPool
from hpip.backends.registry import backend_names
from hpip.common.cache import Cache, content_key
from hpip.common.devices import Device
from hpip.common.digest import file_digest
from hpip.errors import HpipError
from hpip.graph.interface import read_interface
from hpip.inference.execution.feeds import session_feeds
from hpip.inference.execution.runner import Engine, open_session
from hpip.inference.tuning.budget import default_limits
from hpip.inference.tuning.candidates import machine_name, versions
from hpip.inference.tuning.child_process import Child, ChildError, ChildStartError
from hpip.types import AnyArray, ModelFiles

logger = logging.getLogger(__name__)

Plain: TypeAlias = Callable[[Sequence[AnyArray]], Sequence[AnyArray]]

# Raise when engines are tried or judged in another way.
_VERSION = "1"
# Engines that take inputs of any size as they come; the others are built for a range of sizes.
_CANDIDATES = {"cpu": ("onnxruntime", "openvino"), "gpu": ("onnxruntime",)}
_ROUNDS = 7
# A gain below this may be noise.
_LEAST_GAIN = 0.9
# Each new combination of input sizes runs on both engines, up to this many.
_CHECKED_SHAPES = 3
# Share of an output's largest value: float32 sums in another order stay well below it.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class StaticProgram:
    """A program, and how it is to be run.

    Attributes:
        name: for messages.
        files: Paddle's own.
        device: where.
        threads: CPU threads.
    """

    name: str
    files: ModelFiles
    device: Device
    threads: int

    def key(self, cache: Cache) -> str:
        """Names the program, this machine and the engines on it; the cache remembers digests."""
        return content_key(
            f"static program {_VERSION}",
            __version__,
            json.dumps(versions()),
            machine_name(self.device),
            f"{self.device}, {self.threads}",
            self.files.program.read_bytes(),
            file_digest(self.files.params, cache=cache),
        )

    def input_names(self) -> list[str]:
        """Names of the inputs, sorted: PaddleX gives arrays in this order."""
        return sorted(tensor.name for tensor in read_interface(self.files.program).inputs)

    def engine(self, backend: str) -> Engine:
        """One backend, set up for this program."""
        return Engine(backend, self.device, self.threads)


class EngineRun:
    """A program on one engine. Safe to call from several threads.

    Raises:
        HpipError: the engine is not here or does not take the program.
    """

    def __init__(self, program: StaticProgram, engine: Engine) -> None:
        self.engine = engine
        self._names = program.input_names()
        self._pool = SessionPool(lambda: open_session(program.files, engine))
        with self._pool.lease():
            pass

    def __call__(self, inputs: Sequence[AnyArray]) -> list[AnyArray]:
        """Outputs for one array per input, in the order of the inputs' names.

        Raises:
            BackendError: the engine failed.
        """
        feeds = _feeds(self._names, inputs)
        with self._pool.lease() as session:
            return session.run(session_feeds(session, feeds))

    def close(self) -> None:
        """Free the network's memory. Twice does nothing."""
        self._pool.close()


class TunedRun:
    """A program on plain Paddle, and from the second call on on a faster engine where there is one.

    Engines are tried at the first call, in child processes, for as long as HPIP_TUNE_BUDGET_S
    allows; what came out is remembered. With a budget of 0 plain Paddle runs. Safe to call from
    several threads if `plain` is.

    Args:
        program: what to run.
        plain: runs it on plain Paddle.
        cache: where the choice is remembered; None takes the user's.
    """

    def __init__(self, program: StaticProgram, plain: Plain, *, cache: Cache | None = None) -> None:
        self._program = program
        self._plain = plain
        self._cache = cache or Cache()
        self._budget_s = default_limits().budget_s
        self._lock = threading.Lock()
        self._fast: EngineRun | None = None
        self._checked: set[tuple[tuple[int, ...], ...]] = set()
        self.reason = "nothing was run yet"
        self._settled = not self._may_tune() or self._recall()

    def __call__(self, inputs: Sequence[AnyArray]) -> Sequence[AnyArray]:
        """Outputs for one array per input, in the order of the inputs' names."""
        fast = self._fast
        if fast is None:
            outputs = self._plain(inputs)
            self._settle(inputs, outputs)
            return outputs
        shapes = tuple(array.shape for array in inputs)
        try:
            if shapes in self._checked or len(self._checked) >= _CHECKED_SHAPES:
                return fast(inputs)
            found = fast(inputs)
        except HpipError as error:
            logger.warning("plain Paddle takes over for one run: %s", error)
            return self._plain(inputs)
        wanted = self._plain(inputs)
        if difference := outputs_differ(wanted, found):
            self._dismiss(f"{fast.engine.backend} is wrong for inputs of {shapes}: {difference}")
        self._checked.add(shapes)
        return wanted

    def close(self) -> None:
        """Free the faster engine's memory."""
        if self._fast is not None:
            self._fast.close()

    def _may_tune(self) -> bool:
        if self._budget_s == 0:
            self.reason = "HPIP_TUNE_BUDGET_S is 0"
        elif self._program.device.kind not in _CANDIDATES:
            self.reason = f"no other engine runs on {self._program.device}"
        else:
            return True
        return False

    def _recall(self) -> bool:
        known = self._cache.load(self._program.key(self._cache))
        if known is None:
            return False
        self._take(known[1].get("backend"), str(known[1].get("reason")))
        return True

    def _settle(self, inputs: Sequence[AnyArray], outputs: Sequence[AnyArray]) -> None:
        """Try engines once; other threads go on with plain Paddle meanwhile."""
        if self._settled or not self._lock.acquire(blocking=False):
            return
        try:
            if not self._settled:
                try:
                    backend, reason = self._try_all(inputs, outputs)
                    self._keep(backend, reason)
                except ChildStartError as error:
                    # Says nothing about an engine, so the next process tries again.
                    backend, reason = None, str(error)
                self._take(backend, reason)
                self._settled = True
        finally:
            self._lock.release()

    def _try_all(
        self, inputs: Sequence[AnyArray], outputs: Sequence[AnyArray]
    ) -> tuple[str | None, str]:
        end = perf_counter() + self._budget_s
        best, least, reasons = None, _LEAST_GAIN, []
        for backend in _CANDIDATES[self._program.device.kind]:
            if backend not in backend_names():
                continue
            try:
                ratio = self._try(backend, inputs, outputs, end)
            except ChildError as failure:
                reasons.append(f"{backend}: {failure}")
                continue
            reasons.append(f"{backend}: right, {ratio:.2f} of plain Paddle's time")
            if ratio <= least:
                best, least = backend, ratio
        return best, "; ".join(reasons)

    def _try(
        self, backend: str, inputs: Sequence[AnyArray], wanted: Sequence[AnyArray], end: float
    ) -> float:
        """The engine's time, in a process of its own, as a part of plain Paddle's.

        Rounds of one run each, so that both meet the same disturbances; of the medians' and the
        least times' ratios the worse counts, since a disturbance may spoil either.

        Raises:
            ChildError: the engine failed, gave other answers, or the time was up.
        """
        feeds = _feeds(self._program.input_names(), inputs)

        def left_s() -> float:
            return max(1.0, end - perf_counter())

        with Child() as child:
            child.load(self._program.files, self._program.engine(backend), limit_s=left_s())
            # The first run of an engine is slower than all others.
            found, _ = child.run(feeds, limit_s=left_s())
            if difference := outputs_differ(wanted, found):
                raise ChildError("wrong", difference)
            rounds = [
                (child.run(feeds, limit_s=left_s())[1], self._plain_ms(inputs))
                for _ in range(_ROUNDS)
            ]
        fast_ms, plain_ms = zip(*rounds, strict=True)
        median = statistics.median(fast / plain for fast, plain in rounds)
        return float(max(median, min(fast_ms) / min(plain_ms)))

    def _plain_ms(self, inputs: Sequence[AnyArray]) -> float:
        start = perf_counter()
        self._plain(inputs)
        return (perf_counter() - start) * 1e3

    def _take(self, backend: str | None, reason: str) -> None:
        self.reason = reason
        logger.info("%s runs on %s: %s", self._program.name, backend or "plain Paddle", reason)
        if backend is None:
            return
        try:
            self._fast = EngineRun(self._program, self._program.engine(backend))
        except HpipError as error:
            logger.warning("plain Paddle serves: %s", error)

    def _dismiss(self, reason: str) -> None:
        logger.warning("%s: %s; plain Paddle serves from now on", self._program.name, reason)
        self.reason = reason
        fast, self._fast = self._fast, None
        self._cache.discard(self._program.key(self._cache))
        self._keep(None, reason)
        if fast is not None:
            fast.close()

    def _keep(self, backend: str | None, reason: str) -> None:
        record = {"title": f"{self._program.name}, engine", "backend": backend, "reason": reason}
        self._cache.store(self._program.key(self._cache), record, {})


def outputs_differ(wanted: Sequence[AnyArray], found: Sequence[AnyArray]) -> str:
    """What is different between two runs' outputs, or nothing.

    Floats may differ by a thousandth of the output's largest value; all else has to be equal.
    """
    if len(wanted) != len(found):
        return f"{len(found)} outputs instead of {len(wanted)}"
    for i, (right, other) in enumerate(zip(map(np.asarray, wanted), found, strict=True)):
        if right.shape != other.shape:
            return f"output {i} of shape {other.shape} instead of {right.shape}"
        if not np.issubdtype(right.dtype, np.floating):
            if not np.array_equal(right, other):
                return f"output {i} holds other whole numbers"
            continue
        size = float(
            np.abs(right, where=np.isfinite(right), out=np.zeros_like(right)).max(initial=0)
        )
        if not np.allclose(other, right, rtol=0, atol=_TOLERANCE * size, equal_nan=True):
            return f"output {i} is off by more than {_TOLERANCE * size:.2g}"
    return ""


def _feeds(names: Sequence[str], inputs: Sequence[AnyArray]) -> dict[str, AnyArray]:
    return {name: np.ascontiguousarray(array) for name, array in zip(names, inputs, strict=True)}
