# SPDX-License-Identifier: Apache-2.0
"""Ranks engines on a simulated machine, whose clock and load the tests control."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from hpip.inference.tuning.ranking import BUSY_SHARE, Ranking, Sample, rank


@dataclass
class Machine:
    """Runs engines of known speed; other programs take turns with them.

    Attributes:
        load: how many programs compete with the engine at a time in seconds; with one, a run
            takes twice as long.
        noise: relative spread of every run.
    """

    load: Callable[[float], float] = lambda _: 0.0
    noise: float = 0.03
    seed: int = 0
    now_s: float = 0.0
    taken_s: float = 0.0
    runs: list[int] = field(default_factory=list)
    slow: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.start_s = self.now_s

    def clock(self) -> float:
        return self.now_s

    def busy_share(self) -> float:
        return self.taken_s / (self.now_s - self.start_s)

    def engine(self, index: int, wall_ms: float, cpu_ms: float) -> Callable[[int], Sample | None]:
        def run(_number: int) -> Sample:
            competitors = self.load(self.now_s)
            disturbed = 1 + abs(self.random.gauss(0, self.noise))
            # Caches are shared, so CPU time grows with the load too, but much less.
            cpu = cpu_ms * disturbed * (1 + 0.1 * min(1.0, competitors) * self.random.random())
            took_s = wall_ms / 1e3 * disturbed * (1 + competitors)
            took_s *= self.slow.get(len(self.runs), 1.0)
            self.runs.append(index)
            self.now_s += took_s
            self.taken_s += took_s * competitors / (1 + competitors)
            return Sample(took_s * 1e3, cpu)

        return run

    def rank(self, *walls_ms: float, limit_s: float = 60.0) -> Ranking:
        engines = [self.engine(i, wall, 1.9 * wall) for i, wall in enumerate(walls_ms)]
        return rank(engines, limit_s=limit_s, busy_share=self.busy_share, now=self.clock)


def drifting(seconds: float) -> float:
    return min(4.0, seconds)


def falling(seconds: float) -> float:
    return max(0.0, 5.0 - seconds)


def bursts(seconds: float) -> float:
    return 6.0 if int(seconds * 7.3) % 5 == 0 else 0.0


def rare_bursts(seconds: float) -> float:
    return 9.0 if int(seconds * 3.1) % 20 == 0 else 0.0


def steady(_seconds: float) -> float:
    return 2.0


def idle(_seconds: float) -> float:
    return 0.0


LOADS = (idle, steady, drifting, falling, bursts, rare_bursts)


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("walls_ms", [(400, 115, 100), (115, 400, 100), (300, 100, 250, 117)])
def test_an_engine_that_is_15_percent_faster_always_wins(load, walls_ms) -> None:
    fastest = walls_ms.index(min(walls_ms))
    for seed in range(40):
        machine = Machine(load, seed=seed, now_s=seed * 0.37)
        assert machine.rank(*walls_ms).winner == fastest, seed


@pytest.mark.parametrize("slow_run", range(12))
def test_one_slow_run_changes_nothing(slow_run: int) -> None:
    for seed in range(20):
        machine = Machine(seed=seed, slow={slow_run: 20.0})
        found = machine.rank(400, 115, 100)
        assert found.winner == 2
        assert found.metric == "latency"


def test_a_result_on_an_idle_machine_is_certain_and_quick() -> None:
    machine = Machine()
    found = machine.rank(2000, 200, 100)
    assert (found.winner, found.metric, found.certain) == (2, "latency", True)
    assert machine.runs.count(0) == 2  # the slowest runs no more often than it must
    assert found.busy_share == 0


@pytest.mark.parametrize("load", [steady, bursts, drifting])
def test_a_result_under_load_is_by_cpu_time_and_not_certain(load) -> None:
    found = Machine(load).rank(400, 150, 100)
    assert (found.winner, found.metric, found.certain) == (2, "CPU time", False)
    assert found.busy_share > BUSY_SHARE


def test_the_first_of_equally_fast_engines_wins() -> None:
    for seed in range(50):
        found = Machine(seed=seed).rank(300, 102, 100, 101)
        assert found.winner == 1
        assert found.certain


def test_an_engine_has_to_be_faster_than_the_first() -> None:
    assert Machine().rank(100, 99).winner == 0
    assert Machine().rank(100, 200).winner == 0


def test_speeds_are_those_of_the_same_conditions() -> None:
    # By the time the fast ones are timed to the end, the machine is five times as slow.
    found = Machine(drifting, noise=0).rank(800, 115, 100)
    speeds = [speed for speed in found.speeds if speed is not None]
    assert len(speeds) == 3
    assert speeds[0].time_ms / speeds[2].time_ms == pytest.approx(8, rel=0.2)
    assert speeds[1].time_ms / speeds[2].time_ms == pytest.approx(1.15, rel=0.05)


def test_too_little_time_gives_a_result_that_is_not_certain() -> None:
    machine = Machine()
    found = machine.rank(400, 110, 100, limit_s=0.0)
    assert machine.runs == [0, 1, 2]
    assert not found.certain
    assert all(found.speeds)


def test_engines_that_fail_do_not_win() -> None:
    machine = Machine()
    good = machine.engine(0, 300, 600)

    def dies_later(number: int) -> Sample | None:
        return machine.engine(1, 100, 200)(number) if number < 1 else None

    found = rank(
        [good, dies_later, lambda _: None],
        limit_s=60,
        busy_share=machine.busy_share,
        now=machine.clock,
    )
    assert found.winner == 0
    assert found.speeds[0] is not None
    assert found.speeds[1:] == (None, None)


def test_all_engines_may_fail() -> None:
    found = rank([lambda _: None], limit_s=60, busy_share=lambda: 0.0)
    assert (found.speeds, found.certain) == ((None,), False)


def test_gpus_are_compared_by_latency_under_any_load() -> None:
    machine = Machine(steady)
    # The CPU only waits.
    engines = [machine.engine(0, 100, 5), machine.engine(1, 50, 50)]
    found = rank(
        engines, limit_s=60, busy_share=machine.busy_share, uses_cpu=False, now=machine.clock
    )
    assert (found.winner, found.metric, found.certain) == (1, "latency", True)


def test_two_disturbed_runs_of_a_fast_engine_decide_nothing() -> None:
    """One time slice of another program takes as long as several runs."""

    def engine(disturbed: bool) -> Callable[[int], Sample]:
        def run(number: int) -> Sample:
            is_bad = disturbed and number < 2
            return Sample(20.0, 6.0) if is_bad else Sample(2.0, 4.0)

        return run

    ranking = rank([engine(True), engine(False)], limit_s=60, busy_share=lambda: 0.0)
    assert ranking.winner == 0
    assert ranking.certain
