# SPDX-License-Identifier: Apache-2.0
"""Times engines with valid results against each other, and tells how certain the order is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from hpip.common.cpu_load import CpuLoadMeter
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.budget import Clock
from hpip.inference.tuning.child_process import ChildError
from hpip.inference.tuning.ranking import Metric, Ranking, Sample, Speed, metered, rank
from hpip.inference.tuning.trial import EngineProcess, Reference, ReferenceProcess, Task

# Time limits of the race, if there is as much tuning time. Engines whose order is not certain after
# a minute differ by little.
_LEAST_S, _MOST_S = 10.0, 60.0
_TIME_SHARE = 0.25


@dataclass(frozen=True)
class RaceResult:
    """The result of timing the engines with valid results, and plain Paddle unless it is missing.

    Attributes:
        winner: the fastest.
        baseline: speed of plain Paddle; None if it was not timed.
        speeds: speeds of the other engines, in their order; None for those that failed.
        failures: how an engine failed, by its position.
        metric: what the engines were compared by.
        provisional: why the winner may change, in words; empty if it is certain.
    """

    winner: Engine
    baseline: Speed | None = None
    speeds: tuple[Speed | None, ...] = ()
    failures: tuple[tuple[int, ChildError], ...] = ()
    metric: Metric = "latency"
    provisional: str = ""


class Race:
    """Runs engines in turns. Plain Paddle is the first of equals, then the configured order counts.

    Args:
        reference: plain Paddle, which takes part unless its results come from a bundle.
        processes: the other engines, in the configured order; at least one.
        rough: the first timed run of each engine, for want of time for more.
        task: what the engines run.
        clock: the remaining tuning time. The last run may exceed it.
    """

    def __init__(
        self,
        reference: Reference,
        processes: Sequence[EngineProcess],
        rough: Sequence[Sample],
        task: Task,
        clock: Clock,
    ) -> None:
        self._reference = reference
        self._baseline = reference if isinstance(reference, ReferenceProcess) else None
        self._processes: tuple[EngineProcess, ...] = tuple(processes)
        self._rough: tuple[Sample | None, ...] = tuple(rough)
        if self._baseline is not None:
            self._processes = (self._baseline, *processes)
            self._rough = (self._baseline.sample, *rough)
        self._task = task
        self._clock = clock
        self._meter = CpuLoadMeter(self._processes[0].engine.threads)
        self._failures: dict[int, ChildError] = {}

    def run(self) -> RaceResult:
        """Time the engines until the order is certain, or the time is up.

        Raises:
            ChildStartError: no process could be started.
        """
        left_s = self._clock.left_s
        ranking = rank(
            [partial(self._turn, entrant) for entrant in range(len(self._processes))],
            limit_s=min(left_s, max(_LEAST_S, min(_MOST_S, _TIME_SHARE * left_s))),
            busy_share=lambda: self._meter.share,
            uses_cpu=all(process.engine.device.kind == "cpu" for process in self._processes),
            most_rounds=1 if self._clock.quick else None,
        )
        engines = [process.engine for process in self._processes]
        others = 0 if self._baseline is None else 1
        result = race_result(engines[0] if others else None, engines[others:], ranking)
        failures = [
            (entrant - others, error)
            for entrant, error in self._failures.items()
            if entrant >= others
        ]
        provisional = "" if self._clock.quick else result.provisional
        return replace(result, failures=tuple(failures), provisional=provisional)

    def _turn(self, entrant: int, number: int) -> Sample | None:
        if self._clock.left_s <= 0:
            return self._rough[entrant]
        process, images = self._processes[entrant], self._task.images
        try:
            process.warm_up(images[0])
            image = images[number % len(images)]
            return metered(self._meter, lambda: process.time(image, self._reference.most_s))
        except ChildError as failure:
            self._failures[entrant] = failure
            return None


def race_result(baseline: Engine | None, engines: Sequence[Engine], ranking: Ranking) -> RaceResult:
    """Describe a ranking whose entrants are plain Paddle, if any, and the others, in this order."""
    own = () if baseline is None else (baseline,)
    return RaceResult(
        (*own, *engines)[ranking.winner],
        ranking.speeds[0] if own else None,
        ranking.speeds[len(own) :],
        metric=ranking.metric,
        provisional=_doubt(ranking),
    )


def _doubt(ranking: Ranking) -> str:
    """Why another measurement may find another winner; empty if it would not."""
    later = "provisional: hpip times the engines again on a later start"
    if ranking.metric == "CPU time":
        busy = f"other programs used {ranking.busy_share:.0%} of the CPUs"
        return f"compared by CPU time, because {busy}; {later}"
    return "" if ranking.certain else f"the time was too short to be certain; {later}"
