# SPDX-License-Identifier: Apache-2.0
"""Draws the plots of a report as SVG and PNG, narrow enough for a phone."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from hpip.bench.record import STAGES, LoadRow, Report, Row
from hpip.bench.render.tables import milliseconds
from hpip.common.files import write_atomically
from hpip.errors import BackendUnavailableError

# Inches; at 96 pixels per inch the width of a phone, so that text is not scaled down there.
_WIDTH = 4.2
_BAR_HEIGHT = 0.42
# Characters per line; the longest official names take three lines, the height of a bar.
_NAME_LENGTH = 24
_INK, _GRID = "#24292f", "#d0d7de"
_STAGE_COLOURS = {
    "read_ms": "#9a8fd8",
    "preprocess_ms": "#5aa9c9",
    "wait_ms": "#b0b7bf",
    "infer_ms": "#2f6fbb",
    "postprocess_ms": "#e08a3c",
    "other_ms": "#d7dce1",
}
_LINE_COLOURS = ("#2f6fbb", "#e08a3c", "#3d9a5f", "#b5485d", "#7a68b3", "#5aa9c9", "#8a7a5c")
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.edgecolor": _GRID,
    "grid.color": _GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
}


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        name: of its files: letters, digits and hyphens.
        title: shown above the plot.
        svg: for an HTML page, without XML header and in the page's text colours.
        svg_file: content of the SVG file.
        png: content of the PNG file, at 200 dots per inch.
    """

    name: str
    title: str
    svg: str
    svg_file: bytes
    png: bytes


def plots_of(report: Report) -> list[Plot]:
    """Draw all plots that are not empty.

    Raises:
        BackendUnavailableError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise BackendUnavailableError(
            "matplotlib", "plots and HTML reports need it.", "pip install 'hpip[bench]'"
        ) from error
    with mpl.rc_context(_STYLE):
        return [_finished(*drawn) for drawn in _drawings(report)]


def save_plots(plots: Sequence[Plot], folder: Path) -> None:
    """Write each plot as `<name>.svg` and `<name>.png`.

    Raises:
        SaveError: a file can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for plot in plots:
        write_atomically(folder / f"{plot.name}.svg", plot.svg_file)
        write_atomically(folder / f"{plot.name}.png", plot.png)


def _drawings(report: Report) -> Iterator[tuple[str, str, Any]]:
    timed = [row for row in report.rows if row.timed]
    faster = [row for row in timed if row.speedup_plain is not None and row.backend != "paddle"]
    if faster:
        yield "speedup", "Speed-up over plain Paddle", _speedup_figure(faster)
    for workload in dict.fromkeys(row.contender.workload for row in timed):
        rows = [row for row in timed if row.contender.workload == workload]
        title = f"{workload.title}: latency"
        yield f"latency-{_slug(workload.title)}", title, _latency_figure(rows)
    with_memory = [row for row in timed if row.peak_rss_bytes is not None]
    if with_memory:
        yield "memory", "Peak resident memory", _memory_figure(with_memory)
    for workload in dict.fromkeys(row.contender.workload for row in report.load_rows):
        loads = [row for row in report.load_rows if row.contender.workload == workload]
        for loop in ("closed", "open"):
            mine = [row for row in loads if row.loop == loop and row.p50_ms is not None]
            if mine:
                title = f"{workload.title}: latency under load, {loop} loop"
                yield f"load-{loop}-{_slug(workload.title)}", title, _load_figure(mine, loop)


def _figure(bars: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, 0.85 + _BAR_HEIGHT * bars), layout="constrained")
    axes = figure.subplots()
    axes.grid(visible=True, axis="x", linewidth=0.6)
    axes.tick_params(length=0)
    return figure, axes


def _latency_figure(rows: Sequence[Row]) -> Any:
    figure, axes = _figure(len(rows) + 0.6)
    used = []
    for y, row in enumerate(rows):
        left = 0.0
        stages = [stage for stage in STAGES if getattr(row, stage) is not None]
        for stage in stages:
            width = max(0.0, getattr(row, stage))
            (bar,) = axes.barh(y, width, 0.62, left=left, color=_STAGE_COLOURS[stage])
            bar.set_gid(f"bar-{stage.removesuffix('_ms')}-{y}")
            left += width
            if stage not in used:
                used.append(stage)
        total = row.p50_ms or 0.0
        if not stages:
            (bar,) = axes.barh(y, total, 0.62, color=_STAGE_COLOURS["infer_ms"])
            bar.set_gid(f"bar-total-{y}")
        if row.p50_low_ms is not None and _end(row.p50_high_ms):
            _whisker(axes, y, row.p50_low_ms, total, _end(row.p50_high_ms))
        axes.annotate(
            milliseconds(total),
            (max(total, _end(row.p50_high_ms)), y),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    _name_bars(axes, [row.contender.label for row in rows])
    axes.set_xlabel("milliseconds per call, median and 95 % interval", loc="right")
    axes.margins(x=0.14)
    axes.set_xlim(left=0)
    shown = [s for s in used if any((getattr(r, s) or 0) > 0.004 * (r.p50_ms or 0) for r in rows)]
    _stage_legend(figure, shown)
    return figure


def _stage_legend(figure: Any, stages: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    patches = [
        Patch(color=_STAGE_COLOURS[stage], label=stage.removesuffix("_ms")) for stage in stages
    ]
    if patches:
        figure.legend(
            handles=patches,
            loc="outside upper left",
            ncols=min(4, len(patches)),
            frameon=False,
            handlelength=1,
            columnspacing=1,
        )


def _whisker(axes: Any, y: int, low: float, value: float, high: float) -> None:
    axes.errorbar(
        value,
        y,
        xerr=[[value - low], [high - value]],
        color=_INK,
        linewidth=1,
        capsize=2.5,
    )


def _end(high: float | None) -> float:
    """The upper end of an interval; 0 if it is unbounded."""
    return 0.0 if high is None or high == float("inf") else high


def _speedup_figure(rows: Sequence[Row]) -> Any:
    figure, axes = _figure(len(rows))
    for y, row in enumerate(rows):
        value = row.speedup_plain or 0.0
        colour = _LINE_COLOURS[2] if value >= 1 else _LINE_COLOURS[3]
        (bar,) = axes.barh(y, value, 0.62, color=colour)
        bar.set_gid(f"bar-speedup-{y}")
        axes.annotate(
            f"{value:.1f}",
            (max(value, _end(row.speedup_plain_high)), y),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
        low, high = row.speedup_plain_low, row.speedup_plain_high
        if low is not None and _end(high):
            _whisker(axes, y, low, value, _end(high))
    axes.axvline(1, color=_INK, linewidth=1)
    _name_bars(axes, _full_names(rows))
    axes.set_xlabel("speed-up over plain Paddle, median and 95 % interval", loc="right")
    axes.margins(x=0.12)
    return figure


def _memory_figure(rows: Sequence[Row]) -> Any:
    figure, axes = _figure(len(rows))
    for y, row in enumerate(rows):
        peak = (row.peak_rss_bytes or 0) / 1e6
        (bar,) = axes.barh(y, peak, 0.62, color="#8fb4dd")
        bar.set_gid(f"bar-memory-{y}")
        (bar,) = axes.barh(y, (row.loaded_rss_bytes or 0) / 1e6, 0.62, color="#2f6fbb")
        bar.set_gid(f"bar-loaded-{y}")
        axes.annotate(
            f"{peak:,.0f}", (peak, y), xytext=(4, 0), textcoords="offset points", va="center"
        )
    _name_bars(axes, _full_names(rows))
    axes.set_xlabel("megabytes: after loading (dark), peak (light)", loc="right")
    axes.margins(x=0.14)
    return figure


def _load_figure(rows: Sequence[LoadRow], loop: str) -> Any:
    """One colour per contender: the solid line is the median, the dotted the 99th percentile."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure, axes = _figure(5)
    axes.grid(visible=True, axis="y", linewidth=0.6)
    for label, colour in zip(
        dict.fromkeys(row.contender.label for row in rows), _LINE_COLOURS * len(rows), strict=False
    ):
        mine = [row for row in rows if row.contender.label == label]
        xs = [row.throughput_ips if loop == "closed" else row.rate_per_s for row in mine]
        for field, style in (("p50_ms", "-"), ("p99_ms", ":")):
            (line,) = axes.plot(
                xs,
                [getattr(row, field) for row in mine],
                style,
                color=colour,
                marker="o",
                markersize=4,
                label=f"{label}, {field.removesuffix('_ms')}",
            )
            line.set_gid(f"line-{_slug(label)}-{field.removesuffix('_ms')}")
        for x, row in zip(xs, mine, strict=True):
            if row.callers is not None:
                axes.annotate(
                    str(row.callers),
                    (x, row.p50_ms),
                    xytext=(5, -8),
                    textcoords="offset points",
                    fontsize=8,
                )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.1)
    axes.set_ylabel("milliseconds")
    named = "images per second; labels: number of callers"
    axes.set_xlabel(named if loop == "closed" else "requests per second")
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8)
    return figure


def _name_bars(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)


def _full_names(rows: Sequence[Row]) -> list[str]:
    workloads = {row.contender.workload for row in rows}
    if len(workloads) == 1:
        return [row.contender.label for row in rows]
    names = [f"{row.contender.workload.title}, {row.contender.label}" for row in rows]
    return [fill(name, _NAME_LENGTH, break_long_words=False) for name in names]


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()


def _finished(name: str, title: str, figure: Any) -> Plot:
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": name}):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    svg_file = buffer.getvalue()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, facecolor="white")
    return Plot(name, title, _for_page(name, svg_file.decode()), svg_file, buffer.getvalue())


def _for_page(name: str, svg: str) -> str:
    """The SVG without XML header, in the page's colours, and with unique ids."""
    svg = svg[svg.index("<svg") :]
    svg = svg.replace(_INK, "currentColor").replace(_GRID, "var(--grid)")
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}--\1"', svg)
    svg = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{name}--\2"', svg)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{name}--\1)", svg)
