# SPDX-License-Identifier: Apache-2.0
"""Chooses the graph and the engine that a predictor runs."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from dataclasses import dataclass

from hpip.backends.registry import backend_named
from hpip.common.cache import Cache
from hpip.common.devices import Device
from hpip.errors import BackendError, BackendUnavailableError, InvalidInputError, ModelFormatError
from hpip.inference.execution.plan import OriginalPlan, Plan
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.background import BackgroundTuning
from hpip.inference.tuning.budget import THOROUGH_BUDGET_S, Limits, may_tune_in_background
from hpip.inference.tuning.candidates import (
    BASELINE,
    EngineOptions,
    TuningRequest,
    plain_paddle,
)
from hpip.inference.tuning.records import Trial, Verdict, label
from hpip.inference.tuning.remedies import mendable
from hpip.inference.tuning.tune import Tuned, tune
from hpip.model.spec import ModelSpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """The graph and the engine that a predictor runs.

    Attributes:
        plan: the truncated graph if its results match the original graph's, else the original.
        engine: the engine that runs it.
        fallback: plain Paddle, or for a bundle the next engine with valid results, which runs the
            model if the engine fails later. None if there is none, or if the caller named the
            engine, because hpip never replaces a named engine.
        reason: why hpip chose this graph, in words.
        verdict: the result of tuning; None if hpip did not tune.
        request: what hpip tunes; None if it did not tune.
    """

    plan: Plan
    engine: Engine
    fallback: Engine | None
    reason: str
    verdict: Verdict | None = None
    request: TuningRequest | None = None

    @property
    def tuning_continues(self) -> bool:
        """Whether hpip goes on in the background: more time may find a faster engine."""
        if self.verdict is None or self.request is None or not may_tune_in_background():
            return False
        # A budget of 0 asks for the first valid engine.
        return self.verdict.budget_s > 0 and self.verdict.is_due(THOROUGH_BUDGET_S)

    @property
    def engine_reason(self) -> str:
        """Why hpip chose the engine, in words."""
        if self.verdict is None:
            return self.reason
        if self.request is None:
            return "the caller named this backend"
        return self.verdict.selection.reason


def choose(
    spec: ModelSpec,
    device: Device,
    *,
    use_hpip: bool,
    threads: int,
    options: EngineOptions | None = None,
    cache: Cache | None = None,
) -> Choice:
    """Choose the fastest engine with valid results, or check the one that the caller named.

    At the first use of a model, hpip tries engines in child processes for at most
    HPIP_TUNE_BUDGET_S seconds, and caches the result. If the caller named no engine, failing
    engines cause no error: hpip then runs the original graph on plain Paddle. A bundle has no
    original graph: its first engine is tried without a time limit, and one must be valid.

    Args:
        spec: the model.
        device: the device to run it on.
        use_hpip: False chooses the original graph on plain Paddle.
        threads: CPU threads.
        options: the caller's options for the engine.
        cache: where tuning results are stored; None for the user's cache.

    Raises:
        ModelFormatError: the parameters do not belong to the program.
        InvalidInputError: HPIP_TUNE_BUDGET_S is not a number, or the original graph of a bundle is
            wanted.
        BackendUnavailableError: the named engine or precision is not available, or no engine that
            can run a bundle.
        BackendError: the named engine can't run the model, or its results are not valid; or those
            of no engine for a bundle are.
    """
    options = options or EngineOptions()
    if not use_hpip:
        spec.require_original_graph("use_hpip=False")
        plain = Engine(BASELINE, device, threads)
        return Choice(OriginalPlan(spec), plain, None, "use_hpip is off")
    request = TuningRequest(
        spec,
        device,
        threads,
        options.precision,
        options.backend,
        options.settings,
        options.may_convert,
    )
    request.require_baseline()
    if options.backend is not None:
        if backend_named(options.backend).format == "paddle":
            spec.require_original_graph(f"backend {options.backend!r}")
        # Who names an engine waits for it, so hpip does not put off another try.
        limits = Limits(THOROUGH_BUDGET_S)
        return _named(request, tune(request, cache=cache, limits=limits, retry=True))
    try:
        tuned = tune(request, cache=cache, defer=may_tune_in_background())
    except (ModelFormatError, InvalidInputError):
        raise
    except Exception as error:  # a bug in tuning must not prevent predictions
        if request.baseline is None:
            raise
        reason = f"tuning failed: {type(error).__name__}: {error}"
        logger.exception(
            "%s runs with its original graph on plain Paddle, which is slower: %s",
            spec.model_name,
            reason,
        )
        return Choice(OriginalPlan(spec), request.baseline, None, reason)
    _expect_precision(request, tuned.verdict)
    choice = choice_of(request, tuned)
    _warn(request, tuned, continues=choice.tuning_continues)
    return choice


def choice_of(request: TuningRequest, tuned: Tuned) -> Choice:
    """The choice that follows from a result of tuning, for a caller that named no engine."""
    engine, reason = tuned.verdict.selection.engine, tuned.verdict.program_reason
    fallback = request.baseline
    if fallback is None:
        valid = [trial.engine for trial in tuned.verdict.trials if trial.state == "verified"]
        fallback = next((one for one in valid if one != engine), None)
    return Choice(tuned.plan, engine, fallback, reason, tuned.verdict, request)


def _warn(request: TuningRequest, tuned: Tuned, *, continues: bool) -> None:
    """Tell what users may not expect."""
    name, verdict = request.spec.model_name, tuned.verdict
    engine = verdict.selection.engine
    if engine.device != request.device:
        logger.warning(
            "%s runs on %s instead of %s, because no engine with valid results supports it: %s",
            name,
            engine.device,
            request.device,
            "; ".join(f"{other}: {why}" for other, why in verdict.selection.rejected),
        )
    if fault := mendable(request, tuned):
        logger.warning(
            "%s%s", fault, " Until then, tuning continues in the background." if continues else ""
        )
    elif verdict.program == "untouched":
        logger.info("%s runs with its original graph: %s", name, verdict.program_reason)


def continue_tuning(
    choice: Choice, on_choice: Callable[[Choice], None], *, cache: Cache | None = None
) -> BackgroundTuning | None:
    """Continue tuning in the background if more time may lead to another choice.

    Args:
        choice: the present choice.
        on_choice: method of an object, called in a thread with the final choice, unless the object
            was deleted.
        cache: where tuning results are stored; None for the user's cache.

    Returns:
        The background tuning, which the caller closes; None if there is nothing to do.
    """
    request = choice.request
    if request is None or not choice.tuning_continues:
        return None
    receiver = weakref.WeakMethod(on_choice)

    def on_result(tuned: Tuned) -> None:
        # Without a trial, another process was still tuning, or no child process could start.
        if tuned.verdict.trials and (method := receiver()) is not None:
            method(choice_of(request, tuned))

    return BackgroundTuning(request, cache or Cache(), on_result)


def _named(request: TuningRequest, tuned: Tuned) -> Choice:
    """Return the engine that the caller named, or raise an error that says why it can't run."""
    verdict = tuned.verdict
    reason = verdict.program_reason
    if request.backend == BASELINE:
        return Choice(tuned.plan, plain_paddle(request), None, reason, verdict)
    if not verdict.trials:
        raise BackendError(str(request.backend), "verify", verdict.program_reason)
    trial = verdict.trials[0]
    if trial.state != "verified":
        raise _refusal(trial)
    return Choice(tuned.plan, trial.engine, None, reason, verdict)


def _refusal(trial: Trial) -> BackendError | BackendUnavailableError:
    backend = trial.engine.backend
    if trial.state == "absent":
        return BackendUnavailableError(
            backend, f"{trial.reason}.", "Run `hpip doctor` to see what to install."
        )
    if trial.state in ("refused", "failed", "uncalibrated"):
        return BackendError(backend, "open", trial.reason)
    return BackendError(
        backend,
        "verify",
        f"{label(trial.engine)}: {trial.outcome}. Remove the backend from hpi_config to let hpip "
        "choose an engine with valid results.",
    )


def _expect_precision(request: TuningRequest, verdict: Verdict) -> None:
    """Raise an error if no engine supports the precision; failed validation is not an error."""
    if request.precision == "fp32":
        return
    trials = [trial for trial in verdict.trials if trial.engine.precision == request.precision]
    if trials and all(trial.state in ("refused", "absent") for trial in trials):
        reasons = "; ".join(f"{trial.engine.backend}: {trial.reason}" for trial in trials)
        raise BackendUnavailableError(
            f"precision {request.precision}",
            f"no installed engine supports it ({reasons}).",
            "Use precision='auto'.",
        )
    for trial in trials:
        if trial.state == "uncalibrated":
            logger.warning("%s runs in fp32: %s", request.spec.model_name, trial.reason)
