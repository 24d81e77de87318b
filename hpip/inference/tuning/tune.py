# SPDX-License-Identifier: Apache-2.0
"""Tunes a model: validates its truncated graph, tries the engines, and selects one."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hpip.common.cache import Cache
from hpip.common.file_lock import file_lock
from hpip.errors import BackendError
from hpip.graph.compile import CompiledModel, compile_model
from hpip.inference.execution.plan import OriginalPlan, Plan, TruncatedPlan
from hpip.inference.tuning.budget import (
    THOROUGH_BUDGET_S,
    Clock,
    Limits,
    default_limits,
    tell,
)
from hpip.inference.tuning.bundle_reference import bundle_reference, no_valid_engine
from hpip.inference.tuning.calibrate import Calibration
from hpip.inference.tuning.candidates import TuningRequest, plain_paddle
from hpip.inference.tuning.child_process import ChildStartError
from hpip.inference.tuning.engine_trials import EngineTrials
from hpip.inference.tuning.images import digest, shipped_images, split_for_calibration
from hpip.inference.tuning.records import EngineSelection, Verdict, label
from hpip.inference.tuning.trial import Task
from hpip.inference.tuning.truncation_check import compile_and_validate, small_input
from hpip.inference.tuning.verdict_store import VerdictStore
from hpip.model.bundle_file import Bundle
from hpip.model.spec import ModelSpec
from hpip.types import UInt8Array

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuned:
    """The result of tuning.

    Attributes:
        plan: the steps to run.
        verdict: the engine, and why hpip chose it.
        compiled: the truncated graph, or why there is none.
    """

    plan: Plan
    verdict: Verdict
    compiled: CompiledModel


def tune(
    request: TuningRequest,
    *,
    cache: Cache | None = None,
    limits: Limits | None = None,
    images: Sequence[UInt8Array] | None = None,
    again: bool = False,
    retry: bool = False,
    defer: bool = False,
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
        retry: True repeats at once what failed because of circumstances, such as a full disk.
        defer: True returns a cached verdict even if tuning should continue; see `Verdict.is_due`.

    Raises:
        ModelFormatError: the parameters do not belong to the program.
        InvalidInputError: HPIP_TUNE_BUDGET_S is not a number, there are too few images for int8, or
            a bundle has no reference results for an image.
        BackendUnavailableError, BackendError: no engine can run a bundle with valid results.
    """
    cache = cache or Cache()
    clock = Clock(limits or default_limits())
    calibration = None
    if images is not None and request.precision == "int8" and not request.has_int8:
        for_ranges, images = split_for_calibration(images)
        calibration = Calibration(for_ranges, request.spec.preprocess)
    compiled = _compiled(request.spec, cache)
    store = VerdictStore(
        cache,
        request,
        _program_key(request, compiled),
        quick=clock.quick,
        calibration=None if calibration is None else calibration.key,
    )
    tuning = _Tuning(request, compiled, cache, store, clock, images, calibration, again, retry)
    found = tuning.remembered(defer=defer)
    if found is None:
        lock = cache.root / f".{store.key}.lock"
        waits_for_s = min(clock.left_s, clock.limits.step_s)
        with file_lock(
            lock, on_wait=lambda: tell.get()(_WAITING), waits_for_s=waits_for_s
        ) as alone:
            found = tuning.remembered(defer=defer)
            # Without a baseline there is no engine to run meanwhile.
            if found is None and (alone or request.baseline is None):
                found = tuning.work()
    if found is None:
        why = "another process tunes this model"
        found = _stand_in(request, why, clock, [label(engine) for engine in store.engines])
    return _tuned(request, compiled, found)


def known(request: TuningRequest, *, cache: Cache | None = None) -> Tuned | None:
    """Return the cached result for a request, without tuning; None if there is none.

    Raises:
        ModelFormatError: the parameters do not belong to the program.
    """
    cache = cache or Cache()
    compiled = _compiled(request.spec, cache)
    for quick in (False, True):
        found = VerdictStore(cache, request, _program_key(request, compiled), quick=quick).verdict()
        if found is not None:
            return _tuned(request, compiled, found)
    return None


def _tuned(request: TuningRequest, compiled: CompiledModel, verdict: Verdict) -> Tuned:
    untouched = verdict.program == "untouched"
    plan: Plan = OriginalPlan(request.spec) if untouched else TruncatedPlan(compiled)
    return Tuned(plan, verdict, compiled)


def _compiled(spec: ModelSpec, cache: Cache) -> CompiledModel:
    return compile_model(spec.files, cache=cache) if spec.bundle is None else spec.bundle.compiled


def _program_key(request: TuningRequest, compiled: CompiledModel) -> str:
    return compiled.key or request.spec.files.program.read_bytes().hex()


_WAITING = "another process is tuning this model; waiting for it"


def _stand_in(
    request: TuningRequest, why: str, clock: Clock, untried: Sequence[str] = ()
) -> Verdict:
    """The verdict before any validation: the original graph on plain Paddle."""
    budget_s = clock.limits.budget_s
    chosen = EngineSelection(
        plain_paddle(request), f"plain Paddle runs the model for now: {why}", ()
    )
    return Verdict(
        "untouched", why, chosen, provisional=why, untried=tuple(untried), budget_s=budget_s
    )


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
        retry: bool,
    ) -> None:
        self._request = request
        self._compiled = compiled
        self._cache = cache
        self._store = store
        self._clock = clock
        self._calibration = calibration
        self._again = again
        self._retry = retry or again
        self._given_images = images

    def remembered(self, *, defer: bool) -> Verdict | None:
        """The cached verdict, unless new images or more time could change it."""
        is_asked_anew = self._given_images is not None or self._again
        found = None if is_asked_anew else self._store.verdict()
        if found is None or found.complete or defer:
            return found
        is_due = self._retry or found.is_due(self._clock.limits.budget_s)
        return None if is_due else found

    def work(self) -> Verdict:
        """Validate the truncated graph, try engines while there is time, and cache the verdict.

        A failure to start a child process is not cached, since it says nothing about the model.

        Raises:
            BackendUnavailableError, BackendError: no engine can run a bundle with valid results.
        """
        try:
            if (bundle := self._request.spec.bundle) is not None:
                return self._work_on_bundle(bundle)
            return self._work()
        except ChildStartError as error:
            if self._request.baseline is None:
                raise BackendError("hpip", "tune", str(error)) from error
            logger.warning("%s was not tuned: %s", self._request.spec.model_name, error)
            return _stand_in(self._request, str(error), self._clock)

    def _work(self) -> Verdict:
        request = self._request
        plan: Plan = OriginalPlan(request.spec)
        program: Literal["cut", "untouched"] = "untouched"
        reason = f"hpip did not truncate the graph: {self._compiled.reason}"
        if self._compiled.masks is not None:
            compiled, check = compile_and_validate(
                request.spec,
                threads=request.threads,
                cache=self._cache,
                clock=self._clock,
                retry=self._retry,
            )
            reason = f"{compiled.reason}; {check.reason}"
            if not check.final:
                later = check.due_at(THOROUGH_BUDGET_S) <= time.time()
                untried = [label(engine) for engine in self._store.engines] if later else ()
                return _stand_in(request, check.reason, self._clock, untried)
            if check.same:
                plan = TruncatedPlan(compiled)
                program = "cut"
        spec = small_input(request.spec)
        images = self._first(self._given_images or shipped_images())
        task = Task(plan, spec.preprocess, images, spec.score_threshold, self._calibration)
        with EngineTrials(request, self._store, task, self._clock) as trials:
            trials.run_all(digest(images), again=self._again, retry=self._retry)
            verdict = trials.verdict(program, reason)
        return self._saved(verdict)

    def _first(self, images: Sequence[UInt8Array]) -> list[UInt8Array]:
        """The images that there is time for: one with a budget of 0."""
        return list(images)[: 1 if self._clock.quick else None]

    def _work_on_bundle(self, bundle: Bundle) -> Verdict:
        """Try engines while there is time, but at least until one is valid."""
        request, spec = self._request, self._request.spec
        reference = bundle_reference(spec, bundle, self._given_images)
        images = self._first(reference.images)
        plan = TruncatedPlan(self._compiled)
        task = Task(plan, reference.preprocess, images, spec.score_threshold, self._calibration)
        results = reference.results_for(len(images))
        key = digest(images)
        with EngineTrials(request, self._store, task, self._clock, results) as trials:
            trials.run_all(key, again=self._again, retry=self._retry)
            if trials.valid:
                return self._saved(trials.verdict("cut", self._compiled.reason))
        # There is no baseline to run meanwhile, so that the first valid engine has all the time.
        clock = Clock(replace(self._clock.limits, budget_s=0.0))
        with EngineTrials(request, self._store, task, clock, results) as trials:
            trials.run_all(key, again=False, retry=True)
            if not trials.valid:
                raise no_valid_engine(spec, trials.trials)
            verdict = trials.verdict("cut", self._compiled.reason)
        tried = [trial.engine for trial in trials.trials]
        untried = tuple(label(one) for one in self._store.engines if one not in tried)
        budget_s = self._clock.limits.budget_s
        return self._saved(replace(verdict, untried=untried, budget_s=budget_s))

    def _saved(self, verdict: Verdict) -> Verdict:
        request, selection = self._request, verdict.selection
        logger.info(
            "%s runs on %s: %s",
            request.spec.model_name,
            label(selection.engine),
            selection.reason,
        )
        self._store.save_verdict(verdict)
        return verdict
