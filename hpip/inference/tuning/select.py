# SPDX-License-Identifier: Apache-2.0
"""Explains the choice of an engine from the results of the trials; imports no engine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.budget import Limits
from hpip.inference.tuning.race import RaceResult
from hpip.inference.tuning.records import EngineSelection, Trial, Verdict, label

_NOT_TIMED = "valid results, but hpip could not time it"


# A start so soon after an uncertain result would meet the same load.
_CONFIRM_AFTER_S = 60.0


def verdict_on(
    graph: tuple[Literal["cut", "untouched"], str],
    baseline: Engine | None,
    trials: Sequence[Trial],
    race: RaceResult,
    untried: Sequence[Engine],
    limits: Limits,
) -> Verdict:
    """The verdict that follows from the trials and the race; see `select`.

    Args:
        graph: the graph that the engines ran, and why.
        baseline: plain Paddle; None for a bundle.
        trials: results of the trials in the configured order, with the times of the race.
        race: the winner, and how it was found.
        untried: candidates without a trial.
        limits: limits of the tuning; with a budget of 0, candidates after a valid one are not
            wanted.
    """
    is_settled = limits.budget_s == 0 and any(trial.state == "verified" for trial in trials)
    return Verdict(
        *graph,
        select(baseline, trials, race, untried, quick=is_settled),
        tuple(trials),
        None if race.baseline is None else race.baseline.time_ms,
        None if race.baseline is None else race.baseline.cpu_ms,
        race.metric,
        race.provisional,
        () if is_settled else tuple(label(engine) for engine in untried),
        time.time() + _CONFIRM_AFTER_S if race.provisional else None,
        limits.budget_s,
    )


def select(
    baseline: Engine | None,
    trials: Sequence[Trial],
    race: RaceResult,
    untried: Sequence[Engine] = (),
    *,
    quick: bool = False,
) -> EngineSelection:
    """The chosen engine, and every other engine with the reason for its rejection.

    Args:
        baseline: plain Paddle, whose results the others were validated against; None if these
            come from a bundle.
        trials: results of the trials in the configured order, at most one per engine, with the
            times of the race.
        race: the winner, and how it was found.
        untried: candidates without a trial.
        quick: True if the first valid engine was wanted, so that the others were not tried.
    """
    speedups = {label(trial.engine): _speedup(trial, race) for trial in trials}
    rejected = [
        (label(trial.engine), _objection(trial, race, speedups[label(trial.engine)]))
        for trial in trials
        if trial.engine != race.winner
    ]
    rejected += [(label(engine), "not tried yet") for engine in untried]
    suffix = f"; {race.provisional}" if race.provisional else ""
    if untried and not quick:
        suffix += (
            f"; the tuning time ended before {_listed(untried)} could be tried: "
            "run `hpip tune` with this model once"
        )
    if baseline is not None and race.winner == baseline:
        validated = any(trial.state == "verified" for trial in trials)
        reason = (
            "no other engine with valid results is faster"
            if validated
            else "no other engine has valid results"
        )
        if not trials:
            reason = "no other engine was tried"
        return EngineSelection(baseline, f"{reason}{suffix}", tuple(rejected))
    (winner,) = (trial for trial in trials if trial.engine == race.winner)
    reason, lost = winner.reason, "baseline"
    # After a budget that left no time for it, plain Paddle has no time to compare with.
    if times := speedups[label(winner.engine)]:
        reason += f"; {times} as fast as plain Paddle"
        lost += f"; the chosen engine is {times} as fast"
    if baseline is not None:
        rejected.append((label(baseline), lost))
    return EngineSelection(winner.engine, f"{reason}{suffix}", tuple(rejected))


def _speedup(trial: Trial, race: RaceResult) -> str:
    if not trial.time_ms or not trial.cpu_ms or race.baseline is None:
        return ""
    if race.metric == "latency":
        return f"{race.baseline.time_ms / trial.time_ms:.2f} times"
    return f"{race.baseline.cpu_ms / trial.cpu_ms:.2f} times"


def _objection(trial: Trial, race: RaceResult, speedup: str) -> str:
    if trial.state != "verified":
        return trial.outcome
    if not trial.time_ms:
        return _NOT_TIMED
    objection = "valid results, but not reliably faster"
    return f"{objection}: {speedup} as fast as plain Paddle" if speedup else objection


def _listed(engines: Sequence[Engine]) -> str:
    return ", ".join(engine.backend for engine in engines)
