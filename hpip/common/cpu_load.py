# SPDX-License-Identifier: Apache-2.0
"""How much of the CPUs other programs use."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from hpip.common.system import allowed_cpus

# Columns of /proc/stat in ticks: user, nice, system, idle, iowait, irq, softirq, steal.
_USER, _NICE, _SYSTEM, _IRQ, _SOFTIRQ, _STEAL = 0, 1, 2, 5, 6, 7
_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class CpuLoadMeter:
    """Measures the share of CPU time that other programs take from this one during its runs.

    CPUs that this program leaves idle may be busy without disturbing it. Programs of low priority
    count only if this process has a low priority itself. For one thread.

    Args:
        threads: CPU threads of the runs.
        proc: mount point of procfs; tests pass their own.
    """

    def __init__(self, threads: int, proc: Path = Path("/proc")) -> None:
        self._cpus = _allowed_cpus()
        self._threads = min(threads, len(self._cpus) or threads)
        self._proc = proc
        self._taken_s = self._total_s = 0.0
        self._start: tuple[float, float] | None = None

    def start(self) -> None:
        """Begin to measure one run."""
        busy_s = self._busy_s()
        self._start = None if busy_s is None else (time.monotonic(), busy_s)

    def stop(self, own_cpu_s: float) -> None:
        """End the run, which itself took this much CPU time."""
        busy_s = self._busy_s()
        if self._start is None or busy_s is None:
            return
        took_s = time.monotonic() - self._start[0]
        others_s = busy_s - self._start[1] - own_cpu_s
        spare_s = (len(self._cpus) - self._threads) * took_s
        # Single runs are shorter than the resolution of the system's counters; their sum is not.
        self._taken_s += others_s - spare_s
        self._total_s += self._threads * took_s

    @property
    def share(self) -> float:
        """Share of the CPUs of these runs that others took; 0 if the system does not report it."""
        return min(1.0, max(0.0, self._taken_s / self._total_s)) if self._total_s else 0.0

    def _busy_s(self) -> float | None:
        columns = [_USER, _SYSTEM, _IRQ, _SOFTIRQ, _STEAL]
        if _niceness() > 0:
            columns.append(_NICE)
        ticks = 0
        try:
            lines = (self._proc / "stat").read_text().splitlines()
            for line in lines:
                name, *values = line.split()
                if name in self._cpus:
                    ticks += sum(int(values[column]) for column in columns)
        except (OSError, ValueError, IndexError):
            return None
        return ticks / _TICKS_PER_S


def _allowed_cpus() -> frozenset[str]:
    return frozenset(f"cpu{number}" for number in allowed_cpus())


def _niceness() -> int:
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            return os.getpriority(os.PRIO_PROCESS, 0)
    return 0
