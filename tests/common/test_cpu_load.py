# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpip.common import cpu_load
from hpip.common.cpu_load import CpuLoadMeter


class Proc:
    """A /proc/stat and a clock that tests advance."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, cpus: int) -> None:
        self.folder = folder
        self.now_s = 100.0
        self.ticks = {f"cpu{number}": [0] * 10 for number in range(cpus)}
        monkeypatch.setattr(cpu_load.time, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(cpu_load, "_allowed_cpus", lambda: frozenset(self.ticks))
        monkeypatch.setattr(cpu_load, "_TICKS_PER_S", 100)
        monkeypatch.setattr(cpu_load, "_niceness", lambda: 0)
        self.write()

    def write(self) -> None:
        lines = ["cpu  1 2 3 4 5 6 7 8 9 10"]
        lines += [f"{name} {' '.join(map(str, v))}" for name, v in self.ticks.items()]
        (self.folder / "stat").write_text("\n".join([*lines, "intr 1 2 3", "ctxt 5"]) + "\n")

    def use(self, cpu: str, seconds: float, column: int = 0) -> None:
        self.ticks[cpu][column] += round(100 * seconds)
        self.write()


@pytest.fixture
def proc(tmp_path, monkeypatch) -> Proc:
    return Proc(tmp_path, monkeypatch, 2)


def measured(proc: Proc, meter: CpuLoadMeter, took_s: float, own_s: float) -> float:
    proc.now_s += took_s
    meter.stop(own_s)
    return meter.share


def test_own_work_is_no_load(proc) -> None:
    meter = CpuLoadMeter(2, proc.folder)
    meter.start()
    proc.use("cpu0", 1.0)
    proc.use("cpu1", 0.8)
    assert measured(proc, meter, 1.0, 1.8) == 0


def test_work_of_others_is_the_load(proc) -> None:
    meter = CpuLoadMeter(2, proc.folder)
    meter.start()
    proc.use("cpu0", 0.5)
    proc.use("cpu1", 1.0)
    assert measured(proc, meter, 1.0, 0.5) == pytest.approx(0.5)


def test_work_between_runs_does_not_count(proc) -> None:
    meter = CpuLoadMeter(2, proc.folder)
    meter.start()
    assert measured(proc, meter, 1.0, 0.0) == 0
    proc.use("cpu0", 5.0)
    proc.now_s += 5
    meter.start()
    assert measured(proc, meter, 1.0, 0.0) == 0


def test_cpus_that_are_not_needed_may_be_busy(tmp_path, monkeypatch) -> None:
    proc = Proc(tmp_path, monkeypatch, 8)
    meter = CpuLoadMeter(2, proc.folder)
    meter.start()
    for number in range(5):
        proc.use(f"cpu{number}", 1.0)
    assert measured(proc, meter, 1.0, 0.0) == 0


@pytest.mark.parametrize(("niceness", "share"), [(0, 0.0), (19, 0.5)])
def test_low_priority_counts_only_among_equals(proc, monkeypatch, niceness, share) -> None:
    monkeypatch.setattr(cpu_load, "_niceness", lambda: niceness)
    meter = CpuLoadMeter(2, proc.folder)
    meter.start()
    proc.use("cpu0", 1.0, column=1)
    assert measured(proc, meter, 1.0, 0.0) == pytest.approx(share)


def test_a_system_without_counters_reports_no_load(tmp_path) -> None:
    meter = CpuLoadMeter(2, tmp_path)
    meter.start()
    meter.stop(0.1)
    assert meter.share == 0


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs procfs")
def test_the_real_counters_are_read() -> None:
    meter = CpuLoadMeter(len(os.sched_getaffinity(0)))
    meter.start()
    for _ in range(100_000):
        pass
    meter.stop(0.0)
    assert 0 <= meter.share <= 1
