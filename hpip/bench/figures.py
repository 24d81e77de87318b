# SPDX-License-Identifier: Apache-2.0
"""Computes the figures of a row from its samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hpip.bench.contender import PADDLEX, PLAIN
from hpip.bench.entry import Entry
from hpip.bench.record import STAGES, Row
from hpip.bench.stats import median_interval, middle_half, paired_ratio, percentile
from hpip.bench.subject import Subject

_MEASURED_STAGES = tuple(stage for stage in STAGES if stage != "other_ms")


def fill_times(row: Row, samples: Sequence[Mapping[str, Any]]) -> None:
    """Compute percentiles, throughput and stages of at least one sample.

    Stages are averaged over the calls between the quartiles and scaled to the median, so that they
    add up to it; `other_ms` is the remainder. `stage_sum_ratio` is the sum of the measured stages
    over the sum of the latencies, for all calls.
    """
    walls = [sample["wall_ms"] for sample in samples]
    interval = median_interval(walls)
    row.samples, row.samples_ms = len(walls), [round(wall, 4) for wall in walls]
    row.p50_ms, row.p50_low_ms, row.p50_high_ms = interval.median, interval.low, interval.high
    row.p90_ms, row.p95_ms, row.p99_ms = (percentile(walls, p) for p in (90, 95, 99))
    row.mean_ms, row.min_ms, row.max_ms = float(np.mean(walls)), min(walls), max(walls)
    row.throughput_ips = row.batch_size / (row.mean_ms / 1e3)
    cpus = [sample["cpu_ms"] for sample in samples if sample["cpu_ms"] is not None]
    row.cpu_p50_ms = percentile(cpus, 50) if cpus else None
    if not all(sample["stages_ms"] for sample in samples):
        return
    claimed = sum(sum(sample["stages_ms"].values()) for sample in samples)
    row.stage_sum_ratio = claimed / sum(walls)
    middle = middle_half(walls)
    scale = interval.median / float(np.mean([walls[i] for i in middle]))
    rest = interval.median
    for stage in _MEASURED_STAGES:
        part = scale * float(np.mean([samples[i]["stages_ms"][stage] for i in middle]))
        setattr(row, stage, part)
        rest -= part
    row.other_ms = rest


def fill_speedups(entries: Sequence[Entry]) -> None:
    """Compute the speed-up of each contender over plain Paddle, and over stock PaddleX.

    Stock is PaddleX with its default engine. If that has no latency, it is PaddleX with
    `run_mode="paddle"`.
    """
    plain = next((e for e in entries if e.contender.backend == PLAIN and _counts(e.row)), None)
    stock = next(
        (e for name in PADDLEX for e in entries if e.contender.backend == name and _counts(e.row)),
        None,
    )
    for entry in entries:
        row = entry.row
        if not _counts(row):
            continue
        if plain is not None:
            ratio = _ratio(entry, plain)
            row.speedup_plain, row.speedup_plain_low, row.speedup_plain_high = ratio
        if stock is not None:
            ratio = _ratio(entry, stock)
            row.speedup_paddlex, row.speedup_paddlex_low, row.speedup_paddlex_high = ratio
            row.speedup_paddlex_of = stock.contender.backend


def fill_facts(row: Row, subject: Subject) -> None:
    """Store the facts about a model that need no run."""
    row.model_bytes = subject.model_bytes
    if (arithmetic := subject.arithmetic) is not None:
        row.parameters, row.gflop, row.gflop_unknown_operators = arithmetic


def fill_peak_share(row: Row, sgemm_gflops: float | None) -> None:
    """Compute the network's FLOP/s as a share of a float32 matrix product's.

    Nothing is stored if the graph does not state the size of every operator.
    """
    if sgemm_gflops and row.gflop and row.infer_ms and row.gflop_unknown_operators == 0:
        per_s = row.gflop * row.batch_size / (row.infer_ms / 1e3)
        row.peak_share = per_s / sgemm_gflops


def _counts(row: Row) -> bool:
    return row.timed and row.p50_ms is not None


def _ratio(entry: Entry, reference: Entry) -> tuple[float, float | None, float | None]:
    if entry.samples and reference.samples:
        interval = paired_ratio(entry.wall_ms, reference.wall_ms)
        return interval.median, interval.low, interval.high
    assert entry.row.p50_ms is not None
    assert reference.row.p50_ms is not None
    return reference.row.p50_ms / entry.row.p50_ms, None, None
