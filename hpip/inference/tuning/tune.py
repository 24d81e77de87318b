# SPDX-License-Identifier: Apache-2.0
"""From a model to the engine that serves it: check, trials, selection."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hpip.common.cache import Cache
from hpip.common.file_lock import one_at_a_time
from hpip.graph.compile import CompiledModel, compile_model
from hpip.inference.execution.plan import CutPlan, Plan, UntouchedPlan
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.budget import Clock, Limits, default_limits, tell
from hpip.inference.tuning.calibrate import Calibration
from hpip.inference.tuning.candidates import Request, needs_calibration, thread_variants
from hpip.inference.tuning.child_process import ChildStartError
from hpip.inference.tuning.cut_check import cut_and_checked, small_input
from hpip.inference.tuning.images import digest, shipped_pictures, split_for_calibration
from hpip.inference.tuning.records import Selection, Trial, Verdict, label
from hpip.inference.tuning.select import select
from hpip.inference.tuning.trial import FloorError, Reference, Task, try_engine
from hpip.inference.tuning.verdict_store import Memory
from hpip.types import UInt8Array

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuned:
    """What to run on what, and everything that is known about it."""

    plan: Plan
    verdict: Verdict


def tune(
    request: Request,
    *,
    cache: Cache | None = None,
    limits: Limits | None = None,
    pictures: Sequence[UInt8Array] | None = None,
    again: bool = False,
) -> Tuned:
    """Find the fastest engine that gives the right answer; remembered, so that it is asked once.

    Several processes may tune one model at once: one works, the others wait for it, and serve with
    plain Paddle when their own time is up.

    Args:
        request: what is to be run.
        cache: where it is remembered; None takes the user's.
        limits: time and memory; None takes what HPIP_TUNE_BUDGET_S says.
        pictures: what the engines are tried on; None takes two that come with hpip, or what an
            earlier call found on others. For int8, most of them calibrate it, and the engines are
            tried on the rest.
        again: forget what is remembered about this request.

    Raises:
        ModelFormatError: the parameters do not belong to the program.
        InvalidInputError: HPIP_TUNE_BUDGET_S is not a number, or there are too few pictures for
            int8.
    """
    cache = cache or Cache()
    clock = Clock(limits or default_limits())
    calibration = None
    if pictures is not None and request.precision == "int8":
        for_ranges, pictures = split_for_calibration(pictures)
        calibration = Calibration(for_ranges, request.spec.preprocess)
    compiled = compile_model(request.spec.files, cache=cache)
    memory = Memory(
        cache,
        request,
        _program_key(request, compiled),
        quick=clock.quick,
        calibration=None if calibration is None else calibration.key,
    )
    tuning = _Tuning(request, compiled, cache, memory, clock, pictures, calibration, again)
    found = tuning.remembered()
    if found is None:
        lock = cache.root / f".{memory.key}.lock"
        waits_for_s = min(clock.left_s, clock.limits.step_s)
        with one_at_a_time(lock, waits_for_s, lambda: tell.get()(_WAITING)) as alone:
            found = tuning.remembered() or (
                tuning.work() if alone else _stand_in(request, "another process tunes this model")
            )
    if found.program == "untouched":
        return Tuned(UntouchedPlan(request.spec), found)
    return Tuned(CutPlan(compiled), found)


def known(request: Request, *, cache: Cache | None = None) -> Verdict | None:
    """What an earlier tuning found about this request; tries nothing.

    Raises:
        ModelFormatError: the parameters do not belong to the program.
    """
    cache = cache or Cache()
    compiled = compile_model(request.spec.files, cache=cache)
    for quick in (False, True):
        found = Memory(cache, request, _program_key(request, compiled), quick=quick).verdict()
        if found is not None:
            return found
    return None


def _program_key(request: Request, compiled: CompiledModel) -> str:
    return compiled.key or request.spec.files.program.read_bytes().hex()


_UNCALIBRATED = (
    "int8 needs pictures to calibrate on: "
    "run `hpip tune MODEL_DIR --precision int8 --input PICTURES` once"
)
_WAITING = "another process is tuning this model; waiting for it"


def _stand_in(request: Request, why: str) -> Verdict:
    """What serves before anything is verified: the untouched program on plain Paddle."""
    chosen = Selection(request.floor, f"plain Paddle serves for now: {why}", ())
    return Verdict("untouched", why, chosen, complete=False)


class _Tuning:
    """One request on its way to a verdict."""

    def __init__(
        self,
        request: Request,
        compiled: CompiledModel,
        cache: Cache,
        memory: Memory,
        clock: Clock,
        pictures: Sequence[UInt8Array] | None,
        calibration: Calibration | None,
        again: bool,
    ) -> None:
        self._request = request
        self._compiled = compiled
        self._cache = cache
        self._memory = memory
        self._clock = clock
        self._calibration = calibration
        self._again = again
        self._given = pictures is not None
        self._pictures = list(pictures or shipped_pictures())[: 1 if clock.quick else None]
        self._digest = digest(self._pictures)
        self._trials: list[Trial] = []

    def remembered(self) -> Verdict | None:
        """The verdict of an earlier start, unless pictures or time may settle more now."""
        found = None if self._given or self._again else self._memory.verdict()
        if found is None or found.complete or found.budget_s >= self._clock.limits.budget_s:
            return found
        return None

    def work(self) -> Verdict:
        """Check the cut program, try engines while there is time, and remember what came out.

        A failure to start a child process is not remembered, since it says nothing of the model.
        """
        try:
            return self._work()
        except ChildStartError as error:
            logger.warning("%s was not tuned: %s", self._request.spec.model_name, error)
            return _stand_in(self._request, str(error))

    def _work(self) -> Verdict:
        request, budget_s = self._request, self._clock.limits.budget_s
        plan: Plan = UntouchedPlan(request.spec)
        program: Literal["cut", "untouched"] = "untouched"
        reason = f"the export is run as it is: {self._compiled.reason}"
        if self._compiled.masks is not None:
            compiled, check = cut_and_checked(
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
                plan = CutPlan(compiled)
                program = "cut"
        floor_ms = self._try_all(plan)
        tried = [trial.engine for trial in self._trials]
        untried = [engine for engine in self._memory.engines if engine not in tried]
        selection = select(request.floor, self._trials, untried)
        verdict = Verdict(
            program,
            reason,
            selection,
            tuple(self._trials),
            floor_ms,
            complete=not untried and all(trial.final for trial in self._trials),
            budget_s=budget_s,
        )
        name = request.spec.model_name
        logger.info("%s runs on %s: %s", name, label(selection.engine), selection.reason)
        done = all(self._settled(trial) for trial in self._trials)
        if self._clock.quick or (done and not untried):
            self._memory.keep_verdict(verdict)
        return verdict

    def _try_all(self, plan: Plan) -> float | None:
        """Fill `_trials`; returns plain Paddle's median time where it was measured."""
        request = self._request
        spec = small_input(request.spec)
        task = Task(plan, spec.preprocess, self._pictures, spec.score_threshold, self._calibration)
        reference = Reference(task, request.floor, self._clock)
        try:
            for engine in self._memory.engines:
                self._try(engine, task, reference)
                if self._clock.quick and self._trials[-1].state == "verified":
                    break
            best = select(request.floor, self._trials).engine
            if best != request.floor and not self._clock.quick:
                for engine in thread_variants(best):
                    self._try(engine, task, reference)
        finally:
            reference.close()
        return statistics.median(reference.times_ms) if reference.times_ms else None

    def _try(self, engine: Engine, task: Task, reference: Reference) -> None:
        """Take the remembered trial of an engine, or make one while there is time."""
        if (trial := self._without_pictures(engine)) is not None:
            self._trials.append(trial)
            return
        trial = None if self._again else self._memory.trial(engine, self._digest)
        if trial is None or not self._settled(trial):
            if self._clock.left_s <= 0:
                return
            allowed_s = self._clock.left_s
            attempts = 1 if trial is None else trial.attempts + 1
            tell.get()(f"trying {label(engine)} on {self._request.spec.model_name}{self._left()}")
            try:
                trial = try_engine(engine, task, reference, self._clock)
            except FloorError as error:
                reason = f"plain Paddle, which it is held against, did not answer: {error}"
                trial = Trial(engine, "", "unfinished", reason, allowed_s=allowed_s)
            trial = replace(trial, attempts=attempts)
            self._memory.keep_trial(trial, self._digest)
            logger.info("%s: %s, %s", label(engine), trial.state, trial.reason)
        if self._calibration is not None and needs_calibration(engine) and trial.final:
            self._memory.keep_calibrated(trial)
        self._trials.append(trial)

    def _without_pictures(self, engine: Engine) -> Trial | None:
        """What is known of an engine in int8 that has no pictures, where that settles it."""
        if self._calibration is not None or not needs_calibration(engine):
            return None
        earlier = self._memory.calibrated(engine)
        if earlier is None:
            return Trial(engine, "", "uncalibrated", _UNCALIBRATED)
        # What missed the gate on its user's pictures does not get another chance on ours.
        return None if earlier.state == "verified" else replace(earlier, engine=engine)

    def _settled(self, trial: Trial) -> bool:
        return trial.final or self._clock.gives_up(trial.allowed_s, trial.attempts)

    def _left(self) -> str:
        clock = self._clock
        return "" if clock.quick else f" ({clock.left_s:.0f} s of {clock.limits.budget_s:g} left)"
