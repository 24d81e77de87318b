# SPDX-License-Identifier: Apache-2.0
"""Builds the tables of a report as text, for all output formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpip.bench.contender import PLAIN
from hpip.bench.record import (
    DIFFERS,
    FAILED,
    INTERRUPTED,
    MEASURED,
    UNAVAILABLE,
    UNVERIFIED,
    WRONG,
    LoadRow,
    Report,
    Row,
)
from hpip.common.system import MKL_CPU_VARIABLE

NOTHING = "-"
_STATES = {
    MEASURED: "passed",
    UNVERIFIED: "not compared",
    DIFFERS: "differs",
    WRONG: "WRONG",
    FAILED: "FAILED",
    UNAVAILABLE: "unavailable",
    INTERRUPTED: "interrupted",
}


@dataclass(frozen=True)
class Table:
    """A table as text.

    Attributes:
        title: above the table.
        note: below the table.
        headings: one per column.
        rows: cells.
        names: number of text columns on the left; the others are numbers.
        spare: headings of columns that narrow terminals omit, in this order.
    """

    title: str
    note: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    names: int = 2
    spare: tuple[str, ...] = ()


Column = tuple[str, Callable[[Row], str]]


def tables_of(report: Report) -> list[Table]:
    """All tables that are not empty."""
    made = [_latency(report.rows), _stages(report.rows), _start_and_memory(report.rows)]
    made += [_accuracy(report.rows), _models(report.rows), _loads(report.load_rows)]
    return [table for table in made if table.rows]


def remarks(report: Report) -> list[str]:
    """Remarks on the tables, one sentence each."""
    found = []
    if report.interrupted:
        found.append("The run was interrupted; the report holds the results up to then.")
    load = (report.environment["load_average"] or [0.0])[0]
    if load > report.environment["cpus_allowed"]:
        found.append(
            f"The machine was busy (load average {load:.1f} at the start): rely on speed-ups and"
            " CPU time, not on latencies."
        )
    for row in report.rows:
        name = f"{row.contender.workload.title}, {row.contender.label}"
        if row.state in (WRONG, FAILED, UNAVAILABLE):
            what = {
                WRONG: "validation failed, so no latency",
                FAILED: "failed",
                UNAVAILABLE: "unavailable",
            }
            found.append(f"{name}: {what[row.state]}: {row.error}")
        elif row.state == DIFFERS:
            found.append(f"{name}: its results differ from plain Paddle's: {row.error}")
        elif row.error:
            found.append(f"{name}: {row.error}")
        if row.remembered:
            found.append(f"{name}: measured on this machine on {row.remembered}, not in this run.")
        if row.state == UNVERIFIED:
            found.append(
                f"{name}: not validated, because plain Paddle could not run this workload."
            )
    stock = {row.speedup_paddlex_of for row in report.rows} - {None, "paddlex"}
    found += [
        f"PaddleX's default engine has no latency for some models; their speed-up is over {name}."
        for name in sorted(filter(None, stock))
    ]
    return found


def machine_line(report: Report) -> str:
    """Machine and software in one line."""
    place = report.environment
    packages = place["packages"]
    engines = ("hpip", "paddlepaddle", "onnxruntime", "openvino", "tensorrt")
    versions = ", ".join(f"{name} {packages[name]}" for name in engines if name in packages)
    gpus = "; ".join(place["gpus"]) or "no GPU"
    peaks = (place.get("sgemm_gflops") or {}).items()
    peak = ", ".join(f"{v:.0f} GFLOP/s in {n} threads" for n, v in peaks if v)
    kernels = place.get("mkl_debug_cpu_type")
    versions += f", {MKL_CPU_VARIABLE}={kernels}" if kernels else ""
    return (
        f"{place['cpu']} ({place['isa']}), {place['cpus_allowed']} of {place['cpus_of_machine']}"
        f" CPUs, {(place['memory_bytes'] or 0) / 2**30:.0f} GiB, {gpus}; {place['system']}, Python"
        f" {place['python']}, {versions}; commit {place['commit'] or 'unknown'};"
        f" matrix product {peak or 'not measured'}; load average at the start"
        f" {(place['load_average'] or [0])[0]:.1f}; {report.created_utc}"
    )


def milliseconds(value: float | None) -> str:
    """Format milliseconds with about three digits."""
    if value is None:
        return NOTHING
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _latency(rows: Sequence[Row]) -> Table:
    return _table(
        "Latency",
        "Milliseconds per call, from image file to result; \u00b1 is the 95 % confidence interval"
        " of the median. CPU is the CPU time of all threads. Speed-ups are medians over pairs of"
        " consecutive calls.",
        rows,
        [
            ("p50", _median),
            ("p90", lambda row: _time(row, row.p90_ms)),
            ("p95", lambda row: _time(row, row.p95_ms)),
            ("p99", lambda row: _time(row, row.p99_ms)),
            ("CPU", lambda row: _time(row, row.cpu_p50_ms)),
            ("images/s", lambda row: _number(row, row.throughput_ips, ".2f")),
            ("calls", lambda row: str(row.samples) if row.timed else NOTHING),
            ("x plain", lambda row: _speedup(row, "plain")),
            ("x PaddleX", lambda row: _speedup(row, "paddlex")),
            ("validation", _validation),
        ],
        spare=("p95", "calls", "images/s", "CPU", "p99", "p90"),
    )


def _stages(rows: Sequence[Row]) -> Table:
    return _table(
        "Latency by stage",
        "Milliseconds per call; the stages do not overlap and add up to p50. Drawing and writing"
        " JSON are not included.",
        [row for row in rows if row.timed and row.infer_ms is not None],
        [
            (name, lambda row, field=field: milliseconds(getattr(row, field)))  # type: ignore[misc]
            for name, field in (
                ("read", "read_ms"),
                ("preprocess", "preprocess_ms"),
                ("wait", "wait_ms"),
                ("infer", "infer_ms"),
                ("postprocess", "postprocess_ms"),
                ("other", "other_ms"),
                ("= p50", "p50_ms"),
                ("draw", "draw_ms"),
                ("encode", "encode_ms"),
            )
        ],
        spare=("other", "wait", "encode", "draw"),
    )


def _start_and_memory(rows: Sequence[Row]) -> Table:
    return _table(
        "Startup and memory",
        "Load is from the cache; convert is the additional time of the very first load; first is"
        " load and first call. Memory is the resident memory of the process.",
        [row for row in rows if row.load_ms is not None],
        [
            ("load (ms)", lambda row: milliseconds(row.load_ms)),
            ("convert (ms)", lambda row: milliseconds(row.convert_ms)),
            ("first (ms)", lambda row: milliseconds(row.first_result_ms)),
            ("loaded (MB)", lambda row: _megabytes(row.loaded_rss_bytes)),
            ("peak (MB)", lambda row: _megabytes(row.peak_rss_bytes)),
            ("device (MB)", lambda row: _megabytes(row.device_memory_bytes)),
            ("threads", lambda row: str(row.threads or NOTHING)),
        ],
        spare=("threads", "device (MB)", "loaded (MB)", "convert (ms)"),
    )


def _accuracy(rows: Sequence[Row]) -> Table:
    return _table(
        "Predictions compared with plain Paddle",
        "Instances of all images; differences are of matched instances. AP is on the dataset, if"
        " one was given.",
        [row for row in rows if row.instances_matched is not None or row.mask_ap is not None],
        [
            ("matched", lambda row: _count(row.instances_matched)),
            ("missing", lambda row: _count(row.instances_missing)),
            ("extra", lambda row: _count(row.instances_extra)),
            ("score diff.", lambda row: _general(row.max_score_diff, ".1e")),
            ("box diff. (px)", lambda row: _general(row.max_box_diff_px, ".2g")),
            ("min. mask IoU", lambda row: _general(row.min_mask_iou, ".4f")),
            ("mask AP", lambda row: _general(row.mask_ap, ".4f")),
            ("box AP", lambda row: _general(row.box_ap, ".4f")),
        ],
        spare=("box AP", "mask AP", "box diff. (px)"),
    )


def _models(rows: Sequence[Row]) -> Table:
    return _table(
        "Models and arithmetic",
        "GFLOP (a multiply-add is two) of the original graph for one image; >= if some operators"
        " have an unknown size. The share is of the FLOP/s of a float32 matrix product on as many"
        " threads, measured in this run.",
        [row for row in rows if row.timed and row.model_bytes is not None],
        [
            ("size (MB)", lambda row: _megabytes(row.model_bytes)),
            ("parameters (M)", lambda row: _general((row.parameters or 0) / 1e6 or None, ".2f")),
            ("GFLOP", _gflop),
            ("of SGEMM (%)", lambda row: _general(_times(row.peak_share, 100), ".0f")),
            ("runs", lambda row: row.runs),
        ],
        spare=("runs", "parameters (M)"),
    )


def _loads(rows: Sequence[LoadRow]) -> Table:
    cells = []
    for row in rows:
        load = f"{row.callers} callers" if row.loop == "closed" else f"{row.rate_per_s:g}/s"
        cells.append(
            (
                row.contender.workload.title,
                row.contender.label,
                load,
                f"{row.throughput_ips:.2f}",
                *(milliseconds(one) for one in (row.p50_ms, row.p90_ms, row.p95_ms, row.p99_ms)),
                str(row.requests),
                str(row.errors),
            )
        )
    return Table(
        "Latency under load",
        "Each caller sends its next request after the reply. At a rate, the latency of a request"
        " starts at its scheduled time, even if it was sent later.",
        ("model", "contender", "load", "images/s", "p50", "p90", "p95", "p99", "calls", "errors"),
        cells,
        names=3,
    )


def _table(
    title: str,
    note: str,
    rows: Sequence[Row],
    columns: Sequence[Column],
    spare: tuple[str, ...] = (),
) -> Table:
    cells = [
        (
            row.contender.workload.title,
            row.contender.label + ("*" if row.remembered else ""),
            *(make(row) for _, make in columns),
        )
        for row in rows
    ]
    headings = ("model", "contender", *(name for name, _ in columns))
    return Table(title, note, headings, cells, spare=spare)


def _median(row: Row) -> str:
    if not row.timed:
        return NOTHING
    if row.p50_low_ms is None or row.p50_high_ms in (None, float("inf")):
        return milliseconds(row.p50_ms)
    return f"{milliseconds(row.p50_ms)} {_plus_minus(row.p50_low_ms, row.p50_ms, row.p50_high_ms)}"


def _time(row: Row, value: float | None) -> str:
    return milliseconds(value) if row.timed else NOTHING


def _number(row: Row, value: float | None, form: str) -> str:
    return _general(value, form) if row.timed else NOTHING


def _speedup(row: Row, reference: str) -> str:
    value = getattr(row, f"speedup_{reference}")
    if value is None or not row.timed:
        return NOTHING
    low, high = getattr(row, f"speedup_{reference}_low"), getattr(row, f"speedup_{reference}_high")
    if value == low == high == 1:
        return "1"
    if low is None or high in (None, float("inf")):
        return f"{value:.2f}"
    return f"{value:.2f} {_plus_minus(low, value, high)}"


def _plus_minus(low: float, value: float | None, high: float | None) -> str:
    """The longer side of an interval, in percent of the median."""
    assert value is not None
    assert high is not None
    return f"\u00b1{max(high - value, value - low) / value:.0%}"


def _validation(row: Row) -> str:
    if row.state == MEASURED and row.backend == PLAIN and row.device == "cpu":
        return "reference"
    if row.state == MEASURED and row.instances_matched is None:
        return "not compared"
    return _STATES[row.state]


def _gflop(row: Row) -> str:
    if row.gflop is None:
        return NOTHING
    return f"{row.gflop:.1f}" if row.gflop_unknown_operators == 0 else f">= {row.gflop:.1f}"


def _megabytes(value: int | None) -> str:
    return NOTHING if value is None else f"{value / 1e6:,.0f}"


def _count(value: int | None) -> str:
    return NOTHING if value is None else str(value)


def _general(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
