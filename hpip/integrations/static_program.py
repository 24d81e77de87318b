# SPDX-License-Identifier: Apache-2.0
"""Runs any static Paddle program on the fastest engine with valid outputs.

hpip knows only the inputs and outputs of such a program: it does not truncate its graph, tries
engines on the first real inputs, and keeps plain Paddle as the fallback.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

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
from hpip.inference.tuning.candidates import BASELINE, machine_name, versions
from hpip.inference.tuning.child_process import ChildStartError
from hpip.inference.tuning.records import (
    EngineSelection,
    Verdict,
    label,
    to_json,
    verdict_from_json,
)
from hpip.integrations.static_program_tuning import Plain, ProgramTuning, outputs_differ
from hpip.types import AnyArray, ModelFiles

logger = logging.getLogger(__name__)

# Raise when engines are tried or judged in another way.
_VERSION = "2"
# Engines that take inputs of any size as they come; the others are built for a range of sizes.
_CANDIDATES = {"cpu": ("onnxruntime", "openvino"), "gpu": ("onnxruntime",)}
# Each new combination of input sizes runs on both engines, up to this many.
_CHECKED_SHAPES = 3


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
        # What this run loads; weights that are replaced later are another program.
        self._key = program.key(self._cache) if self._may_tune() else ""
        self._settled = not self._key or self._recall()

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
            self._dismiss(fast.engine, f"for inputs of shapes {shapes}, {difference}")
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
        known = self._cache.load(self._key)
        if known is None:
            return False
        try:
            verdict = verdict_from_json(known[1]["verdict"])
        except (KeyError, TypeError, ValueError):  # written by another version of hpip
            return False
        if verdict.is_due(self._budget_s):
            return False
        self._take(verdict.selection)
        return True

    def _settle(self, inputs: Sequence[AnyArray], outputs: Sequence[AnyArray]) -> None:
        """Try engines once; other threads go on with plain Paddle meanwhile."""
        if self._settled or not self._lock.acquire(blocking=False):
            return
        try:
            if not self._settled:
                self._tune(inputs, outputs)
                self._settled = True
        finally:
            self._lock.release()

    def _tune(self, inputs: Sequence[AnyArray], outputs: Sequence[AnyArray]) -> None:
        program = self._program
        names = [name for name in _CANDIDATES[program.device.kind] if name in backend_names()]
        tuning = ProgramTuning(
            program.files,
            program.engine(BASELINE),
            [program.engine(name) for name in names],
            self._plain,
            self._budget_s,
        )
        try:
            verdict = tuning.run(inputs, _feeds(program.input_names(), inputs), outputs)
        except ChildStartError as error:
            # Says nothing about an engine, so the next process tries again.
            self.reason = str(error)
            return
        self._keep(verdict)
        self._take(verdict.selection)

    def _take(self, selection: EngineSelection) -> None:
        rejected = (f"{name}: {reason}" for name, reason in selection.rejected)
        self.reason = "; ".join([f"{label(selection.engine)}: {selection.reason}", *rejected])
        logger.info("%s runs on %s", self._program.name, self.reason)
        if selection.engine.backend == BASELINE:
            return
        try:
            self._fast = EngineRun(self._program, selection.engine)
        except HpipError as error:
            logger.warning("plain Paddle runs %s: %s", self._program.name, error)

    def _dismiss(self, engine: Engine, difference: str) -> None:
        """Stop using an engine whose outputs turned out to be wrong."""
        baseline = self._program.engine(BASELINE)
        reason = f"its results differ from plain Paddle's: {difference}"
        rejected = ((label(engine), reason),)
        selection = EngineSelection(baseline, "no other engine has valid results", rejected)
        self._keep(Verdict("untouched", "", selection, budget_s=self._budget_s))
        logger.warning("plain Paddle runs %s from now on: %s", self._program.name, reason)
        self.reason = f"{label(engine)}: {reason}"
        fast, self._fast = self._fast, None
        if fast is not None:
            fast.close()

    def _keep(self, verdict: Verdict) -> None:
        if self._program.key(self._cache) != self._key:
            logger.warning("%s changed during tuning; hpip tunes it again", self._program.name)
            return
        self._cache.discard(self._key)
        record = {"title": f"{self._program.name}, engine", "verdict": to_json(verdict)}
        self._cache.store(self._key, record, {})


def _feeds(names: Sequence[str], inputs: Sequence[AnyArray]) -> dict[str, AnyArray]:
    return {name: np.ascontiguousarray(array) for name, array in zip(names, inputs, strict=True)}
