# SPDX-License-Identifier: Apache-2.0
"""Reports that nobody measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpip.bench.contender import Contender, Workload
from hpip.bench.figures import fill_times
from hpip.bench.record import LoadRow, Report, Row

ENVIRONMENT: dict[str, Any] = {
    "cpu": "A processor",
    "cpu_flags": ["avx2"],
    "mkl_debug_cpu_type": None,
    "cpus_of_machine": 8,
    "cpus_allowed": 2,
    "memory_bytes": 2**34,
    "gpus": [],
    "system": "Linux 6 x86_64",
    "python": "3.11.7",
    "packages": {"hpip": "0.1.0", "paddlepaddle": "3.2.2"},
    "paddlex_packages": None,
    "isa": "avx2",
    "commit": "abc",
    "load_average": [0.5, 0.4, 0.3],
    "sgemm_gflops": {"2": 100.0},
}
_STAGE_SHARES = {
    "read_ms": 0.05,
    "preprocess_ms": 0.05,
    "wait_ms": 0.0,
    "infer_ms": 0.7,
    "postprocess_ms": 0.2,
}


def make_row(
    backend: str = "auto",
    *,
    model: str = "demo",
    typical_ms: float = 100.0,
    calls: int = 40,
    seed: int = 0,
    **fields: Any,
) -> Row:
    """A measured row with some noise."""
    row = Row.of(Contender(Workload(model, threads=2), backend))
    rng = np.random.default_rng(seed)
    walls = typical_ms * (1 + 0.02 * rng.standard_normal(calls)) + 0.5
    samples = [
        {
            "wall_ms": float(wall),
            "cpu_ms": float(wall) * 1.8,
            "stages_ms": {stage: float(wall - 0.5) * part for stage, part in _STAGE_SHARES.items()},
        }
        for wall in walls
    ]
    fill_times(row, samples)
    row.load_ms, row.first_result_ms = 500.0, 700.0
    row.peak_rss_bytes, row.loaded_rss_bytes = 400_000_000, 300_000_000
    row.instances_matched, row.instances_missing, row.instances_extra = 7, 0, 0
    row.speedup_plain, row.speedup_plain_low, row.speedup_plain_high = 2.0, 1.9, 2.1
    for name, value in fields.items():
        setattr(row, name, value)
    return row


def make_load_row(loop: str = "closed", level: float = 1, **fields: Any) -> LoadRow:
    figures: dict[str, Any] = {
        "loop": loop,
        "callers": int(level) if loop == "closed" else None,
        "rate_per_s": level if loop == "open" else None,
        "seconds": 5.0,
        "requests": 50,
        "errors": 0,
        "error": "",
        "throughput_ips": 10.0 * level / (1 + 0.1 * level),
        "p50_ms": 100.0 * level,
        "p90_ms": 150.0 * level,
        "p95_ms": 160.0 * level,
        "p99_ms": 200.0 * level,
        "max_ms": 210.0 * level,
    }
    return LoadRow.of(Contender(Workload("demo", threads=2), "auto"), **{**figures, **fields})


def make_report(*rows: Row, load_rows: tuple[LoadRow, ...] = (), **fields: Any) -> Report:
    content: dict[str, Any] = {
        "created_utc": "2026-01-02T03:04:05+00:00",
        "interrupted": False,
        "settings": {"budget_s": 1.0},
        "environment": ENVIRONMENT,
        "images": [{"name": "a.jpg", "hw": [10, 20], "sha256": "00"}],
    }
    return Report(**{**content, **fields}, rows=list(rows), load_rows=list(load_rows))
