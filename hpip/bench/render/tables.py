# SPDX-License-Identifier: Apache-2.0
"""The report's tables, as text in cells; every format shows the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpip.bench.contender import PLAIN
from hpip.bench.record import (
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
    MEASURED: "same",
    UNVERIFIED: "not compared",
    WRONG: "WRONG",
    FAILED: "FAILED",
    UNAVAILABLE: "not here",
    INTERRUPTED: "interrupted",
}


@dataclass(frozen=True)
class Table:
    """Headings and cells.

    Attributes:
        title: over the table.
        note: under it.
        headings: one per column.
        rows: cells.
        names: so many columns from the left are text, the others numbers.
        spare: headings of columns that a narrow terminal leaves out, the first one first.
    """

    title: str
    note: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    names: int = 2
    spare: tuple[str, ...] = ()


Column = tuple[str, Callable[[Row], str]]


def tables_of(report: Report) -> list[Table]:
    """All tables that have something to show."""
    made = [_latency(report.rows), _stages(report.rows), _start_and_memory(report.rows)]
    made += [_accuracy(report.rows), _models(report.rows), _loads(report.load_rows)]
    return [table for table in made if table.rows]


def remarks(report: Report) -> list[str]:
    """What the tables can't say, one sentence each."""
    found = []
    if report.interrupted:
        found.append("This run was interrupted: it holds what had been measured until then.")
    load = (report.environment["load_average"] or [0.0])[0]
    if load > report.environment["cpus_allowed"]:
        found.append(
            f"The machine was busy (load average {load:.1f} at the start): trust speed-ups and"
            " processor time, not milliseconds."
        )
    for row in report.rows:
        name = f"{row.contender.workload.title}, {row.contender.label}"
        if row.state in (WRONG, FAILED, UNAVAILABLE):
            what = {WRONG: "wrong answer, so no time", FAILED: "failed", UNAVAILABLE: "not here"}
            found.append(f"{name}: {what[row.state]}: {row.error}")
        elif row.error:
            found.append(f"{name}: {row.error}")
        if row.remembered:
            found.append(f"{name}: measured on {row.remembered} on this machine, not in this run.")
        if row.state == UNVERIFIED:
            found.append(f"{name}: plain Paddle could not run this, so nothing was compared.")
    stock = {row.speedup_paddlex_of for row in report.rows} - {None, "paddlex"}
    found += [
        f"PaddleX's default has no time for some models: there the speed-up is against {name}."
        for name in sorted(filter(None, stock))
    ]
    return found


def machine_line(report: Report) -> str:
    """The machine and the software in one line."""
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
    """Three digits or so."""
    if value is None:
        return NOTHING
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _latency(rows: Sequence[Row]) -> Table:
    return _table(
        "Latency",
        "Milliseconds of one call, from the image file to the result; the true median lies within"
        " \u00b1 with 95 % confidence. CPU is the processor time of all threads. Speed-ups are"
        " medians over pairs of calls that were made one after the other.",
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
            ("answer", _answer),
        ],
        spare=("p95", "calls", "images/s", "CPU", "p99", "p90"),
    )


def _stages(rows: Sequence[Row]) -> Table:
    return _table(
        "Where the time goes",
        "Milliseconds of one call; the stages exclude each other and add up to p50. Drawing and"
        " writing JSON come on top.",
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
        "Start and memory",
        "Convert is what the first load of all takes longer than a load from the cache; first is"
        " load and first call. Memory is resident, of the whole process.",
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
        "Answers against plain Paddle",
        "Instances of all images; differences over the matched ones. AP on the dataset, where one"
        " was given.",
        [row for row in rows if row.instances_matched is not None or row.mask_ap is not None],
        [
            ("matched", lambda row: _count(row.instances_matched)),
            ("missing", lambda row: _count(row.instances_missing)),
            ("extra", lambda row: _count(row.instances_extra)),
            ("score diff.", lambda row: _general(row.max_score_diff, ".1e")),
            ("box diff. (px)", lambda row: _general(row.max_box_diff_px, ".2g")),
            ("least mask IoU", lambda row: _general(row.min_mask_iou, ".4f")),
            ("mask AP", lambda row: _general(row.mask_ap, ".4f")),
            ("box AP", lambda row: _general(row.box_ap, ".4f")),
        ],
        spare=("box AP", "mask AP", "box diff. (px)"),
    )


def _models(rows: Sequence[Row]) -> Table:
    return _table(
        "Models and arithmetic",
        "Operations (a multiply-add is two) of the export for one image, where it states its sizes;"
        " the share is of a float32 matrix product on as many threads, measured in this run.",
        [row for row in rows if row.timed and row.model_bytes is not None],
        [
            ("size (MB)", lambda row: _megabytes(row.model_bytes)),
            ("weights (M)", lambda row: _general((row.parameters or 0) / 1e6 or None, ".2f")),
            ("GFLOP", _gflop),
            ("of SGEMM (%)", lambda row: _general(_times(row.peak_share, 100), ".0f")),
            ("runs", lambda row: row.runs),
        ],
        spare=("runs", "weights (M)"),
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
        "Callers ask again as soon as they are answered; at a rate, a request's time runs from the"
        " moment it was due, whether it could be sent then or not.",
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
    """The longer arm of an interval, in percent."""
    assert value is not None
    assert high is not None
    return f"\u00b1{max(high - value, value - low) / value:.0%}"


def _answer(row: Row) -> str:
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
