# SPDX-License-Identifier: Apache-2.0
"""Ranks engines by speed: times them in turns, until the order is certain; imports no engine."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from hpip.common.cpu_load import CpuLoadMeter

Metric: TypeAlias = Literal["latency", "CPU time"]
_Result = TypeVar("_Result")

# Of two engines this close, the first in the configured order wins: repeated measurements on an
# idle machine differ by as much.
_SAME = 0.95
# An engine is out after this many rounds if each of them took it this many times the leader's
# latency, and more CPU time too. Two rounds, because a single one can be disturbed by anything; CPU
# time, because a short load may meet the same engine in both.
_CLEARLY_SLOWER = ((2, 3.0), (3, 1.5))
# That saves time with slow engines only. One time slice of another program is longer than a fast
# engine's run, so that two disturbed rounds in a row are nothing rare.
_SLOW_MS = 100.0
# The sign test needs seven rounds for an interval that holds the median in 98 of 100 cases.
_LEAST_ROUNDS, _MOST_ROUNDS = 7, 30
_CONFIDENCE = 0.98
# Two engines are equally fast if the interval of their ratio lies within this range.
_EQUAL = (0.93, 1.07)
# Other programs disturb latencies if they take more than this share of the CPUs that engines use.
BUSY_SHARE = 0.1


@dataclass(frozen=True)
class Sample:
    """One timed run.

    Attributes:
        wall_ms: latency of one image.
        cpu_ms: CPU time of the process during the run, of all threads.
    """

    wall_ms: float
    cpu_ms: float

    def by(self, metric: Metric) -> float:
        """The value that engines are compared by."""
        return self.wall_ms if metric == "latency" else self.cpu_ms


def timed(run: Callable[[], _Result]) -> tuple[_Result, Sample]:
    """Run once in this process; returns the result and the times."""
    start, cpu_start = time.perf_counter(), time.process_time()
    result = run()
    cpu_s, wall_s = time.process_time() - cpu_start, time.perf_counter() - start
    return result, Sample(wall_s * 1e3, cpu_s * 1e3)


def metered(meter: CpuLoadMeter, run: Callable[[], Sample]) -> Sample:
    """Take a sample while the meter measures what other programs use."""
    meter.start()
    sample = run()
    meter.stop(sample.cpu_ms / 1e3)
    return sample


@dataclass(frozen=True)
class Speed:
    """How fast one engine is, relative to the winner.

    Attributes:
        time_ms: latency of one image, under the winner's conditions: the median of its ratios to
            the winner in the same rounds, times the winner's median.
        cpu_ms: the same for CPU time.
    """

    time_ms: float
    cpu_ms: float


@dataclass(frozen=True)
class Ranking:
    """The result of timing engines in turns.

    Attributes:
        winner: index of the fastest entrant; of equally fast ones, the first.
        speeds: one for each entrant; None if it failed.
        metric: what the entrants were compared by.
        certain: whether a repetition would find the same winner.
        busy_share: share of the CPUs that other programs took.
    """

    winner: int
    speeds: tuple[Speed | None, ...]
    metric: Metric
    certain: bool
    busy_share: float


class Entrant:
    """One engine that takes part in a ranking.

    Args:
        run: runs the image of a round; returns None if the engine failed.
    """

    def __init__(self, run: Callable[[int], Sample | None]) -> None:
        self._run = run
        self.samples: dict[int, Sample] = {}
        self.has_failed = False

    def take_turn(self, number: int) -> None:
        """Run the image of a round, unless the engine failed before."""
        sample = None if self.has_failed else self._run(number)
        if sample is None or sample.wall_ms <= 0:
            self.has_failed = True
        else:
            self.samples[number] = sample

    def ratios(self, other: Entrant, metric: Metric) -> list[float]:
        """Time divided by the other entrant's, for each round that both ran."""
        return [
            sample.by(metric) / max(other.samples[number].by(metric), 1e-6)
            for number, sample in self.samples.items()
            if number in other.samples
        ]


def rank(
    runs: Sequence[Callable[[int], Sample | None]],
    *,
    limit_s: float,
    busy_share: Callable[[], float],
    uses_cpu: bool = True,
    most_rounds: int | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Ranking:
    """Time engines in turns until it is certain which is the fastest.

    All run the same image in each round, so that a change of the machine's load meets all of them.
    While other programs use the CPUs, engines are compared by CPU time, which depends little on
    the load; the result is then not certain.

    Args:
        runs: run the image of a round on each engine, in the order that decides between equally
            fast ones; each returns None if its engine failed.
        limit_s: no round starts after this many seconds, except the first.
        busy_share: share of the CPUs that other programs have taken since the start.
        uses_cpu: False if the engines' work is not on the CPU; they are compared by latency then.
        most_rounds: maximum number of rounds; with fewer than the default, the result is not
            certain.
        now: clock in seconds.
    """
    entrants = [Entrant(run) for run in runs]
    racing = list(range(len(entrants)))
    end = now() + limit_s
    metric: Metric = "latency"
    certain = False
    for number in range(most_rounds or _MOST_ROUNDS):
        # Every other round in reverse, so that no engine always runs after the same one.
        for index in racing if number % 2 == 0 else reversed(racing):
            entrants[index].take_turn(number)
        racing = [index for index in racing if not entrants[index].has_failed]
        metric = "CPU time" if uses_cpu and busy_share() > BUSY_SHARE else "latency"
        if not racing:
            break
        leader = _leader(entrants, racing, metric)
        orders = {
            index: _order(entrants[index], entrants[leader], metric, uses_cpu)
            for index in racing
            if index != leader
        }
        certain = "unknown" not in orders.values()
        if certain or now() >= end:
            break
        racing = [index for index in racing if orders.get(index) != "slower"]
    else:
        # More rounds would not separate engines that are still this close.
        certain = most_rounds is None
    share = busy_share()
    winner = _winner(entrants, metric)
    speeds = tuple(_speed(entrant, entrants[winner]) for entrant in entrants)
    return Ranking(winner, speeds, metric, certain and metric == "latency", share)


def _leader(entrants: Sequence[Entrant], racing: Sequence[int], metric: Metric) -> int:
    """The entrant with the lowest median; all of them have run all rounds."""
    return min(
        racing,
        key=lambda index: statistics.median(
            sample.by(metric) for sample in entrants[index].samples.values()
        ),
    )


def _winner(entrants: Sequence[Entrant], metric: Metric) -> int:
    """The fastest of the entrants that did not fail; of equally fast ones, the first."""
    fit = [index for index, entrant in enumerate(entrants) if not entrant.has_failed]
    if not fit:
        return 0
    rounds = max(len(entrants[index].samples) for index in fit)
    # Those with fewer rounds were clearly slower than one with all.
    racing = [index for index in fit if len(entrants[index].samples) == rounds]
    leader = _leader(entrants, racing, metric)
    for index in racing:
        if statistics.median(entrants[index].ratios(entrants[leader], metric)) * _SAME <= 1:
            return index
    return leader


def _speed(entrant: Entrant, winner: Entrant) -> Speed | None:
    if entrant.has_failed or not entrant.samples:
        return None

    def typical(metric: Metric) -> float:
        mine = statistics.median(sample.by(metric) for sample in winner.samples.values())
        return mine * statistics.median(entrant.ratios(winner, metric))

    return Speed(typical("latency"), typical("CPU time"))


def _order(
    entrant: Entrant, leader: Entrant, metric: Metric, uses_cpu: bool
) -> Literal["slower", "equal", "unknown"]:
    """What is certain about an entrant, compared with the leader."""
    ratios = entrant.ratios(leader, metric)
    takes_more_cpu = not uses_cpu or min(entrant.ratios(leader, "CPU time")) > 1
    is_slow = min(sample.wall_ms for sample in entrant.samples.values()) >= _SLOW_MS
    for least_rounds, factor in _CLEARLY_SLOWER:
        is_clear = len(ratios) >= least_rounds and min(ratios) >= factor
        if is_clear and is_slow and takes_more_cpu:
            return "slower"
    if len(ratios) < _LEAST_ROUNDS:
        return "unknown"
    low, high = _median_interval(ratios)
    if low > 1 / _SAME:
        return "slower"
    return "equal" if _EQUAL[0] <= low and high <= _EQUAL[1] else "unknown"


def _median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Bounds of the median by the sign test: order statistics, with no assumption on the noise."""
    count, ordered = len(values), sorted(values)
    outside, position = 0.0, 0
    while position < count // 2:
        outside += 2 * math.comb(count, position) / 2**count
        if outside > 1 - _CONFIDENCE:
            break
        position += 1
    return ordered[max(0, position - 1)], ordered[count - max(1, position)]
