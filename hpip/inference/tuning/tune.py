# SPDX-License-Identifier: Apache-2.0
"""Tunes a model: validates its truncated graph, tries the engines, and selects one."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hpip.common.cache import Cache
from hpip.common.file_lock import file_lock
from hpip.graph.compile import CompiledModel, compile_model
from hpip.inference.execution.plan import OriginalPlan, Plan, TruncatedPlan
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.budget import Clock, Limits, default_limits, tell
from hpip.inference.tuning.calibrate import Calibration
from hpip.inference.tuning.candidates import TuningRequest, needs_calibration, thread_variants
from hpip.inference.tuning.child_process import ChildStartError
from hpip.inference.tuning.images import digest, shipped_images, split_for_calibration
from hpip.inference.tuning.records import EngineSelection, Trial, Verdict, label
from hpip.inference.tuning.select import select
from hpip.inference.tuning.trial import BaselineError, Reference, Task, try_engine
from hpip.inference.tuning.truncation_check import compile_and_validate, small_input
from hpip.inference.tuning.verdict_store import VerdictStore
from hpip.types import UInt8Array

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuned:
    """The result of tuning: the plan to run, and the verdict with the engine."""

    plan: Plan
    verdict: Verdict


def tune(
    request: TuningRequest,
    *,
    cache: Cache | None = None,
    limits: Limits | None = None,
    images: Sequence[UInt8Array] | None = None,
    again: bool = False,
) -> Tuned:
    """Find the fastest engine with valid results, and cache the result.

    If several processes tune the same model, one of them works and the others wait for it; a
    process whose own time runs out uses plain Paddle for now.

    Args:
        request: the model and the caller's options.
        cache: where results are stored; None for the user's cache.
        limits: time and memory limits; None for those of HPIP_TUNE_BUDGET_S.
        images: images to validate engines with. None uses a cached result, or else two images that
            come with hpip. For int8, three quarters of the images calibrate, and the others
            validate.
        again: True ignores cached results for this request.

    Raises:
        ModelFormatError: the parameters do not belong to the program.
        InvalidInputError: HPIP_TUNE_BUDGET_S is not a number, or there are too few images for int8.
    """
    cache = cache or Cache()
    clock = Clock(limits or default_limits())
    calibration = None
    if images is not None and request.precision == "int8":
        for_ranges, images = split_for_calibration(images)
        calibration = Calibration(for_ranges, request.spec.preprocess)
    compiled = compile_model(request.spec.files, cache=cache)
    store = VerdictStore(
        cache,
        request,
        _program_key(request, compiled),
        quick=clock.quick,
        calibration=None if calibration is None else calibration.key,
    )
    tuning = _Tuning(request, compiled, cache, store, clock, images, calibration, again)
    found = tuning.remembered()
    if found is None:
        lock = cache.root / f".{store.key}.lock"
        waits_for_s = min(clock.left_s, clock.limits.step_s)
        with file_lock(
            lock, on_wait=lambda: tell.get()(_WAITING), waits_for_s=waits_for_s
        ) as alone:
            found = tuning.remembered() or (
                tuning.work() if alone else _stand_in(request, "another process tunes this model")
            )
    if found.program == "untouched":
        return Tuned(OriginalPlan(request.spec), found)
    return Tuned(TruncatedPlan(compiled), found)


def known(request: TuningRequest, *, cache: Cache | None = None) -> Verdict | None:
    """Return the cached verdict on a request, without tuning; None if there is none.

    Raises:
        ModelFormatError: the parameters do not belong to the program.
    """
    cache = cache or Cache()
    compiled = compile_model(request.spec.files, cache=cache)
    for quick in (False, True):
        found = VerdictStore(cache, request, _program_key(request, compiled), quick=quick).verdict()
        if found is not None:
            return found
    return None


def _program_key(request: TuningRequest, compiled: CompiledModel) -> str:
    return compiled.key or request.spec.files.program.read_bytes().hex()


_UNCALIBRATED = (
    "int8 needs images for calibration; "
    "run `hpip tune MODEL_DIR --precision int8 --input IMAGES` once"
)
_WAITING = "another process is tuning this model; waiting for it"


def _stand_in(request: TuningRequest, why: str) -> Verdict:
    """The verdict before any validation: the original graph on plain Paddle."""
    chosen = EngineSelection(request.baseline, f"plain Paddle runs the model for now: {why}", ())
    return Verdict("untouched", why, chosen, complete=False)


class _Tuning:
    """Tunes one request."""

    def __init__(
        self,
        request: TuningRequest,
        compiled: CompiledModel,
        cache: Cache,
        store: VerdictStore,
        clock: Clock,
        images: Sequence[UInt8Array] | None,
        calibration: Calibration | None,
        again: bool,
    ) -> None:
        self._request = request
        self._compiled = compiled
        self._cache = cache
        self._store = store
        self._clock = clock
        self._calibration = calibration
        self._again = again
        self._has_own_images = images is not None
        self._images = list(images or shipped_images())[: 1 if clock.quick else None]
        self._digest = digest(self._images)
        self._trials: list[Trial] = []

    def remembered(self) -> Verdict | None:
        """The cached verdict, unless new images or more time could change it."""
        found = None if self._has_own_images or self._again else self._store.verdict()
        if found is None or found.complete or found.budget_s >= self._clock.limits.budget_s:
            return found
        return None

    def work(self) -> Verdict:
        """Validate the truncated graph, try engines while there is time, and cache the verdict.

        A failure to start a child process is not cached, since it says nothing about the model.
        """
        try:
            return self._work()
        except ChildStartError as error:
            logger.warning("%s was not tuned: %s", self._request.spec.model_name, error)
            return _stand_in(self._request, str(error))

    def _work(self) -> Verdict:
        request, budget_s = self._request, self._clock.limits.budget_s
        plan: Plan = OriginalPlan(request.spec)
        program: Literal["cut", "untouched"] = "untouched"
        reason = f"hpip did not truncate the graph: {self._compiled.reason}"
        if self._compiled.masks is not None:
            compiled, check = compile_and_validate(
                request.spec,
                threads=request.threads,
                cache=self._cache,
                clock=self._clock,
                retry=self._again,
            )
            reason = f"{compiled.reason}; {check.reason}"
            if not check.final:
                return _stand_in(request, check.reason)
            if check.same:
                plan = TruncatedPlan(compiled)
                program = "cut"
        baseline_ms = self._try_all(plan)
        tried = [trial.engine for trial in self._trials]
        untried = [engine for engine in self._store.engines if engine not in tried]
        selection = select(request.baseline, self._trials, untried)
        verdict = Verdict(
            program,
            reason,
            selection,
            tuple(self._trials),
            baseline_ms,
            complete=not untried and all(trial.final for trial in self._trials),
            budget_s=budget_s,
        )
        name = request.spec.model_name
        logger.info("%s runs on %s: %s", name, label(selection.engine), selection.reason)
        done = all(self._settled(trial) for trial in self._trials)
        if self._clock.quick or (done and not untried):
            self._store.save_verdict(verdict)
        return verdict

    def _try_all(self, plan: Plan) -> float | None:
        """Try all engines; returns plain Paddle's median latency, or None if it was not timed."""
        request = self._request
        spec = small_input(request.spec)
        task = Task(plan, spec.preprocess, self._images, spec.score_threshold, self._calibration)
        reference = Reference(task, request.baseline, self._clock)
        try:
            for engine in self._store.engines:
                self._try(engine, task, reference)
                if self._clock.quick and self._trials[-1].state == "verified":
                    break
            best = select(request.baseline, self._trials).engine
            if best != request.baseline and not self._clock.quick:
                for engine in thread_variants(best):
                    self._try(engine, task, reference)
        finally:
            reference.close()
        return statistics.median(reference.times_ms) if reference.times_ms else None

    def _try(self, engine: Engine, task: Task, reference: Reference) -> None:
        """Use the cached trial of an engine, or try it while there is time."""
        if (trial := self._uncalibrated_trial(engine)) is not None:
            self._trials.append(trial)
            return
        trial = None if self._again else self._store.trial(engine, self._digest)
        if trial is None or not self._settled(trial):
            if self._clock.left_s <= 0:
                return
            allowed_s = self._clock.left_s
            attempts = 1 if trial is None else trial.attempts + 1
            tell.get()(f"trying {label(engine)} on {self._request.spec.model_name}{self._left()}")
            try:
                trial = try_engine(engine, task, reference, self._clock)
            except BaselineError as error:
                reason = f"plain Paddle, the baseline for validation, failed: {error}"
                trial = Trial(engine, "", "unfinished", reason, allowed_s=allowed_s)
            trial = replace(trial, attempts=attempts)
            self._store.save_trial(trial, self._digest)
            logger.info("%s: %s", label(engine), trial.outcome)
        if self._calibration is not None and needs_calibration(engine) and trial.final:
            self._store.save_calibrated(trial)
        self._trials.append(trial)

    def _uncalibrated_trial(self, engine: Engine) -> Trial | None:
        """The trial of an int8 engine without images, if no new trial is needed."""
        if self._calibration is not None or not needs_calibration(engine):
            return None
        earlier = self._store.calibrated(engine)
        if earlier is None:
            return Trial(engine, "", "uncalibrated", _UNCALIBRATED)
        # An engine that failed validation on the user's images is not tried on those of hpip.
        return None if earlier.state == "verified" else replace(earlier, engine=engine)

    def _settled(self, trial: Trial) -> bool:
        return trial.final or self._clock.gives_up(trial.allowed_s, trial.attempts)

    def _left(self) -> str:
        clock = self._clock
        return "" if clock.quick else f" ({clock.left_s:.0f} s of {clock.limits.budget_s:g} s left)"
