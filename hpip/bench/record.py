# SPDX-License-Identifier: Apache-2.0
"""The benchmark report; docs/bench.md describes its JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from hpip.backends.base import Precision
from hpip.bench.contender import Contender, Workload
from hpip.common.files import write_atomically
from hpip.errors import HpipError

SCHEMA = "hpip.bench"
SCHEMA_VERSION = 1

MEASURED = "measured"
UNVERIFIED = "unverified"
# Stock PaddleX whose results differ from plain Paddle's on the same image.
DIFFERS = "differs"
WRONG = "wrong"
FAILED = "failed"
UNAVAILABLE = "unavailable"
INTERRUPTED = "interrupted"
# States of rows that a resumed run does not measure again.
FINAL_STATES = (MEASURED, UNVERIFIED, DIFFERS, WRONG, FAILED, UNAVAILABLE)
# States in which a contender's latencies are valid.
GOOD_STATES = (MEASURED, UNVERIFIED, DIFFERS)

STAGES = ("read_ms", "preprocess_ms", "wait_ms", "infer_ms", "postprocess_ms", "other_ms")
OUTPUT_STAGES = ("draw_ms", "encode_ms")

Record = TypeVar("Record", bound="ContenderRow")


class ReportFormatError(HpipError, ValueError):
    """A file is not a benchmark report, or has another schema version."""


@dataclass
class ContenderRow:
    """The fields that identify the contender of a row."""

    model: str
    backend: str
    device: str
    precision: Precision
    batch_size: int
    image_hw: tuple[int, int] | None
    threads: int | None
    threshold: float | None

    @classmethod
    def of(cls: type[Record], contender: Contender, **figures: Any) -> Record:
        """Make a row for a contender.

        Args:
            contender: what the row describes.
            figures: values of the other fields.
        """
        workload = contender.workload
        return cls(
            model=workload.model,
            backend=contender.backend,
            device=contender.device,
            precision=contender.precision,
            batch_size=workload.batch_size,
            image_hw=workload.image_hw,
            threads=workload.threads,
            threshold=workload.threshold,
            **figures,
        )

    @property
    def contender(self) -> Contender:
        """The contender that the row describes."""
        workload = Workload(
            self.model, self.batch_size, self.image_hw, self.threads, self.threshold
        )
        return Contender(workload, self.backend, self.device, self.precision)


@dataclass
class Row(ContenderRow):
    """The results of one contender; None if unknown. Milliseconds are per call (one batch)."""

    state: str = MEASURED
    error: str = ""
    runs: str = ""
    remembered: str | None = None
    samples: int = 0
    p50_ms: float | None = None
    p50_low_ms: float | None = None
    p50_high_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    mean_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    cpu_p50_ms: float | None = None
    throughput_ips: float | None = None
    read_ms: float | None = None
    preprocess_ms: float | None = None
    wait_ms: float | None = None
    infer_ms: float | None = None
    postprocess_ms: float | None = None
    other_ms: float | None = None
    stage_sum_ratio: float | None = None
    draw_ms: float | None = None
    encode_ms: float | None = None
    load_ms: float | None = None
    first_load_ms: float | None = None
    convert_ms: float | None = None
    first_result_ms: float | None = None
    peak_rss_bytes: int | None = None
    loaded_rss_bytes: int | None = None
    device_memory_bytes: int | None = None
    speedup_plain: float | None = None
    speedup_plain_low: float | None = None
    speedup_plain_high: float | None = None
    speedup_paddlex_of: str | None = None
    speedup_paddlex: float | None = None
    speedup_paddlex_low: float | None = None
    speedup_paddlex_high: float | None = None
    instances_matched: int | None = None
    instances_missing: int | None = None
    instances_extra: int | None = None
    max_score_diff: float | None = None
    max_box_diff_px: float | None = None
    min_mask_iou: float | None = None
    mean_mask_iou: float | None = None
    mask_ap: float | None = None
    box_ap: float | None = None
    model_bytes: int | None = None
    parameters: int | None = None
    gflop: float | None = None
    gflop_unknown_operators: int | None = None
    peak_share: float | None = None
    samples_ms: list[float] = field(default_factory=list)

    @property
    def timed(self) -> bool:
        """Whether the row has valid latencies."""
        return self.p50_ms is not None and self.state in (*GOOD_STATES, INTERRUPTED)


@dataclass
class LoadRow(ContenderRow):
    """The results of one load test of one contender."""

    loop: str
    callers: int | None
    rate_per_s: float | None
    seconds: float
    requests: int
    errors: int
    error: str
    throughput_ips: float
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None


@dataclass
class Report:
    """One run of the benchmark.

    Attributes:
        created_utc: start of the run.
        interrupted: whether the run did not finish; the rows hold the results up to then.
        settings: settings of the run.
        environment: machine and software.
        images: name, size and digest of each.
        rows: one per contender.
        load_rows: one per load test.
    """

    created_utc: str
    interrupted: bool
    settings: dict[str, Any]
    environment: dict[str, Any]
    images: list[dict[str, Any]]
    rows: list[Row] = field(default_factory=list)
    load_rows: list[LoadRow] = field(default_factory=list)

    def row_of(self, contender: Contender) -> Row | None:
        """The row of this contender, or None."""
        return next((row for row in self.rows if row.contender == contender), None)

    def put(self, row: Row) -> None:
        """Add a row; it replaces an older one of the same contender."""
        for i, old in enumerate(self.rows):
            if old.contender == row.contender:
                self.rows[i] = row
                return
        self.rows.append(row)

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        content = asdict(self)
        results, load = content.pop("rows"), content.pop("load_rows")
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            **content,
            "results": results,
            "load": load,
        }

    def save(self, path: Path) -> None:
        """Write the report as JSON.

        Raises:
            SaveError: the file can't be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(_finite(self.to_json()), indent=1).encode())


def load_report(path: Path) -> Report:
    """Read a report from its JSON file.

    Raises:
        ReportFormatError: the file can't be read, is not a report, or has another schema version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportFormatError(
            f"{path}: expected a JSON report of hpip bench; it can't be read: {error}"
        ) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ReportFormatError(
            f'{path}: expected a report of hpip bench ("schema": "{SCHEMA}"); received another file'
        )
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        age = "an older" if isinstance(version, int) and version < SCHEMA_VERSION else "a newer"
        raise ReportFormatError(
            f"{path}: expected schema version {SCHEMA_VERSION}; received {version!r}, from {age}"
            " hpip. Measure again with this version, or use the version that wrote the report."
        )
    try:
        return Report(
            created_utc=content["created_utc"],
            interrupted=content["interrupted"],
            settings=content["settings"],
            environment=content["environment"],
            images=content["images"],
            rows=[_record(Row, row) for row in content["results"]],
            load_rows=[_record(LoadRow, row) for row in content["load"]],
        )
    except (KeyError, TypeError) as error:
        raise ReportFormatError(f"{path}: the report is damaged: {error}") from error


def _record(kind: type[Record], content: Mapping[str, Any]) -> Record:
    values = dict(content)
    if values.get("image_hw") is not None:
        values["image_hw"] = tuple(values["image_hw"])
    # Ignore fields that later versions add to the schema.
    known = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in known})


def _finite(value: Any) -> Any:
    """Replace infinities by None: JSON has none, and unbounded intervals contain them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
