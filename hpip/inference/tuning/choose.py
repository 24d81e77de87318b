# SPDX-License-Identifier: Apache-2.0
"""Which plan a predictor runs on which engine, and why."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hpip.common.cache import Cache
from hpip.common.devices import Device
from hpip.errors import BackendError, BackendUnavailableError, InvalidInputError, ModelFormatError
from hpip.inference.execution.plan import Plan, UntouchedPlan
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.budget import THOROUGH_BUDGET_S, Limits
from hpip.inference.tuning.candidates import FLOOR, EngineOptions, Request
from hpip.inference.tuning.records import Trial, Verdict, label
from hpip.inference.tuning.tune import Tuned, tune
from hpip.model.spec import ModelSpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """What a predictor runs.

    Attributes:
        plan: the cut program where it gave the export's answers, else the export.
        engine: what runs it.
        floor: plain Paddle, which takes over when a chosen engine fails later; None where the
            caller named the engine, which is then never replaced.
        reason: why, for people.
        verdict: what tuning found; None where nothing was tuned.
    """

    plan: Plan
    engine: Engine
    floor: Engine | None
    reason: str
    verdict: Verdict | None = None


def choose(
    spec: ModelSpec,
    device: Device,
    *,
    use_hpip: bool,
    threads: int,
    options: EngineOptions | None = None,
    cache: Cache | None = None,
) -> Choice:
    """The fastest engine that gives the right answer, or the one that the caller names.

    The first time that a model is seen here, engines are tried in child processes for as long as
    HPIP_TUNE_BUDGET_S allows. Without a named engine this never fails for an engine's sake: plain
    Paddle on the untouched program serves where nothing better is known.

    Raises:
        ModelFormatError: the parameters do not belong to the program.
        InvalidInputError: HPIP_TUNE_BUDGET_S is not a number.
        BackendUnavailableError: the named engine or precision is not here.
        BackendError: the named engine can't run the model, or gives wrong answers.
    """
    options = options or EngineOptions()
    if not use_hpip:
        plain = Engine(FLOOR, device, threads)
        return Choice(UntouchedPlan(spec), plain, None, "use_hpip is off")
    request = Request(
        spec,
        device,
        threads,
        options.precision,
        options.backend,
        options.settings,
        options.may_convert,
    )
    floor = request.floor
    if options.backend is not None:
        return _named(request, tune(request, cache=cache, limits=Limits(THOROUGH_BUDGET_S)))
    try:
        tuned = tune(request, cache=cache)
    except (ModelFormatError, InvalidInputError):
        raise
    except Exception as error:  # tuning is there to gain speed: a bug in it must not cost answers
        logger.exception("tuning %s failed", spec.model_name)
        reason = f"tuning failed: {type(error).__name__}: {error}"
        return Choice(UntouchedPlan(spec), floor, None, reason)
    verdict = tuned.verdict
    _expect_precision(request, verdict)
    if verdict.selection.engine.device != device:
        logger.warning(
            "%s runs on %s, not on %s: %s",
            spec.model_name,
            verdict.selection.engine.device,
            device,
            "; ".join(f"{name}: {why}" for name, why in verdict.selection.rejected),
        )
    if verdict.program == "untouched":
        logger.warning("%s runs uncut: %s", spec.model_name, verdict.program_reason)
    return Choice(tuned.plan, verdict.selection.engine, floor, verdict.program_reason, verdict)


def _named(request: Request, tuned: Tuned) -> Choice:
    """The engine that the caller named, or the error that says why not."""
    verdict = tuned.verdict
    reason = f"{verdict.program_reason}; hpi_config names the backend"
    if request.backend == FLOOR:
        return Choice(tuned.plan, request.floor, None, reason, verdict)
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
            backend, f"{trial.reason}.", "`hpip doctor` tells what to install."
        )
    if trial.state in ("refused", "uncalibrated"):
        return BackendError(backend, "open", trial.reason)
    return BackendError(
        backend,
        "verify",
        f"{label(trial.engine)}: {trial.state}: {trial.reason}. Leave the backend out of "
        "hpi_config to have one chosen that gives plain Paddle's answers.",
    )


def _expect_precision(request: Request, verdict: Verdict) -> None:
    """Raise where no engine has the precision at all; one that misses its gate is no error."""
    if request.precision == "fp32":
        return
    trials = [trial for trial in verdict.trials if trial.engine.precision == request.precision]
    if trials and all(trial.state in ("refused", "absent") for trial in trials):
        reasons = "; ".join(f"{trial.engine.backend}: {trial.reason}" for trial in trials)
        raise BackendUnavailableError(
            f"precision {request.precision}",
            f"no engine here has it ({reasons}).",
            "Use precision='auto'.",
        )
    for trial in trials:
        if trial.state == "uncalibrated":
            logger.warning("%s runs in fp32: %s", request.spec.model_name, trial.reason)
