# SPDX-License-Identifier: Apache-2.0
"""Interleaved measurement, so that other load on the machine affects all contenders."""

from __future__ import annotations

import gc
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.kernels.case import HPIP, Case, Run, UnavailableError

# Larger than the last-level cache (32 MiB on the machine of the stored results).
_EVICT_BYTES = 128 << 20
_COPY_BYTES = 64 << 20


@dataclass(frozen=True)
class Sample:
    """Latency of one contender in milliseconds; `cpu_` is the CPU time of all threads."""

    n: int
    median_ms: float
    p90_ms: float
    iqr_ms: float
    min_ms: float
    cpu_median_ms: float


def ready_contenders(case: Case, threads: int) -> tuple[dict[str, Run], dict[str, str]]:
    """Prepare the contenders, and compare their outputs with hpip's.

    Returns:
        The timed calls by contender, and the reasons why other contenders can't run.

    Raises:
        AssertionError: a contender's output differs from hpip's.
    """
    runs = {HPIP: case.contenders[HPIP](threads)}
    missing = {}
    expected = runs[HPIP]()
    for name, build in case.contenders.items():
        if name == HPIP:
            continue
        try:
            run = build(threads)
        except UnavailableError as error:
            missing[name] = str(error)
            continue
        case.compare(expected, run(), name)
        runs[name] = run
    return runs, missing


def measure(runs: dict[str, Run], rounds: int, cold: bool) -> dict[str, Sample]:
    """Measure every call `rounds` times, interleaved in a rotating order.

    Cold: before each call, a buffer larger than the caches is written. Warm: before each timed
    call, there is an untimed one.
    """
    names = list(runs)
    wall_ns: dict[str, list[int]] = {name: [] for name in names}
    cpu_ns: dict[str, list[int]] = {name: [] for name in names}
    scratch = np.zeros(_EVICT_BYTES if cold else 0, np.uint8)
    gc.disable()
    try:
        for turn in range(rounds):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                run = runs[name]
                if cold:
                    scratch += 1
                else:
                    run()
                cpu_begin, begin = time.process_time_ns(), time.perf_counter_ns()
                run()
                end, cpu_end = time.perf_counter_ns(), time.process_time_ns()
                wall_ns[name].append(end - begin)
                cpu_ns[name].append(cpu_end - cpu_begin)
    finally:
        gc.enable()
    return {name: _sample(wall_ns[name], cpu_ns[name]) for name in names}


def copy_gb_per_s(rounds: int = 15) -> float:
    """Bandwidth of copying a buffer larger than the caches, as bytes read plus bytes written.

    It uses CPU time, as the numbers that it is compared with.
    """
    source = np.ones(_COPY_BYTES, np.uint8)
    target = np.empty_like(source)
    times = []
    for _ in range(rounds):
        begin = time.process_time_ns()
        np.copyto(target, source)
        times.append(time.process_time_ns() - begin)
    return 2 * _COPY_BYTES / float(np.median(times))


def measure_case(
    case: Case, threads: int, rounds: int, caches: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Measure a case; one row per cache state and contender, for the JSON."""
    runs, missing = ready_contenders(case, threads)
    rows = []
    for cache in caches:
        samples = measure(runs, rounds, cold=cache == "cold")
        for name, sample in samples.items():
            rows.append(
                {
                    "case": case.name,
                    "picture": case.image_size,
                    "threads": threads,
                    "cache": cache,
                    "contender": name,
                    **asdict(sample),
                    "times_slower_than_hpip": sample.median_ms / samples[HPIP].median_ms,
                    "cpu_times_slower_than_hpip": sample.cpu_median_ms
                    / samples[HPIP].cpu_median_ms,
                    "wanted": case.wanted.get(name) if threads == 1 else None,
                    "bytes_moved": case.bytes_moved,
                    "gb_per_s": case.bytes_moved / sample.median_ms / 1e6,
                    "not_measured": missing,
                }
            )
    return rows


def _sample(wall_ns: list[int], cpu_ns: list[int]) -> Sample:
    wall_ms = np.array(wall_ns) / 1e6
    low, median, high, p90 = np.percentile(wall_ms, [25, 50, 75, 90])
    return Sample(
        n=len(wall_ns),
        median_ms=float(median),
        p90_ms=float(p90),
        iqr_ms=float(high - low),
        min_ms=float(wall_ms.min()),
        cpu_median_ms=float(np.median(cpu_ns)) / 1e6,
    )
