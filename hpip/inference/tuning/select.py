# SPDX-License-Identifier: Apache-2.0
"""Selects the engine from the results of the trials; imports no engine."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.records import EngineSelection, Trial, label

# The speedup must exceed measurement noise. An engine needs at most this share of plain Paddle's
# latency, and of two engines within this margin, the first one in the configured order wins.
_LEAST_GAIN = 0.95
_NOT_TIMED = "valid results, but hpip could not time it"


def select(
    baseline: Engine, trials: Sequence[Trial], untried: Sequence[Engine] = ()
) -> EngineSelection:
    """Select the fastest engine with valid results; plain Paddle if no engine is faster.

    Args:
        baseline: plain Paddle, whose results the others were validated against.
        trials: results of the trials in the configured order, at most one per engine.
        untried: candidates; those without a trial are listed as not tried yet.

    Returns:
        The chosen engine, and every other engine with the reason for its rejection.
    """
    fit = [trial for trial in trials if _may_serve(trial)]
    best = min((_ratio(trial) for trial in fit), default=math.inf)
    winner = next((trial for trial in fit if _ratio(trial) * _LEAST_GAIN <= best), None)
    rejected = [(label(trial.engine), _objection(trial, winner)) for trial in trials]
    rejected = [pair for pair, trial in zip(rejected, trials, strict=True) if trial is not winner]
    known = [baseline, *(trial.engine for trial in trials)]
    rejected += [(label(engine), "not tried yet") for engine in untried if engine not in known]
    if winner is None:
        reason = "no other engine with valid results is faster"
        if not trials:
            reason = "no other engine was tried"
        return EngineSelection(baseline, reason, tuple(rejected))
    if winner.engine != baseline:
        reason = f"baseline; the chosen engine is {_speedup(winner)} as fast"
        rejected.append((label(baseline), reason))
    reason = f"{winner.reason}; {_speedup(winner)} as fast as plain Paddle"
    return EngineSelection(winner.engine, reason, tuple(rejected))


def _may_serve(trial: Trial) -> bool:
    return trial.state == "verified" and _ratio(trial) <= _LEAST_GAIN


def _ratio(trial: Trial) -> float:
    """Latency divided by plain Paddle's; infinite if not timed, so the engine is never chosen."""
    return trial.ratio if trial.ratio is not None and trial.ratio > 0 else math.inf


def _speedup(trial: Trial) -> str:
    return f"{1 / _ratio(trial):.2f} times"


def _objection(trial: Trial, winner: Trial | None) -> str:
    if trial.state != "verified":
        return trial.outcome
    if math.isinf(_ratio(trial)):
        return _NOT_TIMED
    if winner is None or _ratio(trial) > _LEAST_GAIN:
        return f"valid results, but only {_speedup(trial)} as fast as plain Paddle"
    return f"valid results, but slower: {_speedup(trial)} as fast as plain Paddle"
