# SPDX-License-Identifier: Apache-2.0
"""Which engine serves, from what the trials found: a pure function that imports no engine."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.records import Selection, Trial, label

# What is gained must exceed what the clock can tell from noise: another engine than plain Paddle
# needs at most this share of its time, and an engine that stands earlier in the prior order wins
# over one that is faster by less than this.
_LEAST_GAIN = 0.95
_NO_TIME = "it has no time"


def select(floor: Engine, trials: Sequence[Trial], untried: Sequence[Engine] = ()) -> Selection:
    """Choose the fastest engine that gave the right answers; plain Paddle where there is none.

    Args:
        floor: plain Paddle, which gives the answers that the others are held against.
        trials: what was found, in the prior order, at most one for each engine.
        untried: engines that are to be tried; those that have a trial count as tried.

    Returns:
        The choice, and every other engine with the reason against it.
    """
    fit = [trial for trial in trials if _may_serve(trial)]
    best = min((_ratio(trial) for trial in fit), default=math.inf)
    winner = next((trial for trial in fit if _ratio(trial) * _LEAST_GAIN <= best), None)
    rejected = [(label(trial.engine), _objection(trial, winner)) for trial in trials]
    rejected = [pair for pair, trial in zip(rejected, trials, strict=True) if trial is not winner]
    known = [floor, *(trial.engine for trial in trials)]
    rejected += [(label(engine), "not tried yet") for engine in untried if engine not in known]
    if winner is None:
        reason = "plain Paddle is the fastest that gives the right answer"
        if not trials:
            reason = "plain Paddle is the only engine that was tried"
        return Selection(floor, reason, tuple(rejected))
    if winner.engine != floor:
        rejected.append((label(floor), f"{1 / _ratio(winner):.2f} times slower than the choice"))
    return Selection(winner.engine, f"{winner.reason}; {_speed(winner)}", tuple(rejected))


def _may_serve(trial: Trial) -> bool:
    return trial.state == "verified" and _ratio(trial) <= _LEAST_GAIN


def _ratio(trial: Trial) -> float:
    """Its part of plain Paddle's time; infinite for one without a time, which never serves."""
    return trial.ratio if trial.ratio is not None and trial.ratio > 0 else math.inf


def _speed(trial: Trial) -> str:
    if math.isinf(_ratio(trial)):
        return _NO_TIME
    time = "" if trial.time_ms is None else f"{trial.time_ms:.4g} ms, "
    return f"{time}{1 / _ratio(trial):.2f} times as fast as plain Paddle"


def _objection(trial: Trial, winner: Trial | None) -> str:
    if trial.state != "verified":
        return f"{trial.state}: {trial.reason}"
    if math.isinf(_ratio(trial)):
        return _NO_TIME
    if winner is None or _ratio(trial) > _LEAST_GAIN:
        return f"right, but no faster than plain Paddle: {_speed(trial)}"
    return f"right, but not the fastest: {_speed(trial)}"
