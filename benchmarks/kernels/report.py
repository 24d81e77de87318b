# SPDX-License-Identifier: Apache-2.0
"""Render result files as a Markdown table and a plot.

`python -m benchmarks.kernels.report RESULTS.json... [--plot OUT.svg] [--all]`
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.kernels.case import HPIP

Row = dict[str, Any]


def markdown(report: dict[str, Any], every_row: bool = False) -> str:
    """Two tables: hpip against each contender (by default on one thread, warm), and hpip alone."""
    where = report["environment"]
    lines = [
        f"{where['cpu']}, {where['hpip']['isa']}, OpenCV {where['opencv']}, commit "
        f"{where['commit']}, copy {report['copy_gb_per_s']:.1f} GB/s; medians of "
        f"{report['results'][0]['n']} interleaved calls.",
        "",
        "| operation | image | threads | cache | contender | CPU time (ms) | hpip's CPU time (ms) "
        "| speed-up (CPU time) | speed-up (wall time) | goal |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row, own in _pairs(report["results"]):
        if every_row or (row["threads"] == 1 and row["cache"] == "warm"):
            wanted = f"{row['wanted']:g}" if row["wanted"] else ""
            lines.append(
                f"| {row['case']} | {row['picture']} | {row['threads']} | {row['cache']} "
                f"| {row['contender']} | {row['cpu_median_ms']:.3g} | {own['cpu_median_ms']:.3g} "
                f"| {row['cpu_times_slower_than_hpip']:.2f} "
                f"| {row['times_slower_than_hpip']:.2f} | {wanted} |"
            )
    return "\n".join([*lines, "", *_own_table(report)])


def _pairs(rows: list[Row]) -> Iterator[tuple[Row, Row]]:
    """Each contender's row with hpip's row of the same measurement."""
    own = {_key(row): row for row in rows if row["contender"] == HPIP}
    for row in rows:
        if row["contender"] != HPIP:
            yield row, own[_key(row)]


def _key(row: Row) -> tuple[Any, ...]:
    return row["case"], row["picture"], row["threads"], row["cache"]


def _own_table(report: dict[str, Any]) -> Iterator[str]:
    """The table of hpip alone: threads, caches, and its share of the bandwidth of a copy."""
    yield (
        "| hpip | image | cache | 1 thread, CPU time (ms) | 2 threads, wall time (ms) "
        "| speed-up (wall time) | speed-up on idle CPUs | share of copy bandwidth |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    own = {_key(row): row for row in report["results"] if row["contender"] == HPIP}
    for (case, image, threads, cache), row in own.items():
        if threads != 1:
            continue
        two = own.get((case, image, 2, cache))
        two_ms = f"{two['median_ms']:.3g}" if two else ""
        gain = f"{row['median_ms'] / two['median_ms']:.2f}" if two else ""
        # On idle CPUs, each thread would take half of the CPU time of both.
        free = f"{2 * row['cpu_median_ms'] / two['cpu_median_ms']:.2f}" if two else ""
        share = row["bytes_moved"] / row["cpu_median_ms"] / 1e6 / report["copy_gb_per_s"]
        yield (
            f"| {case} | {image} | {cache} | {row['cpu_median_ms']:.3g} | {two_ms} | {gain} "
            f"| {free} | {share:.0%} |"
        )


def joined(reports: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Merge reports: the rows of all, with the highest bandwidth of a copy."""
    first, *others = reports
    rows = [row for report in others for row in report["results"]]
    bandwidth = max(report["copy_gb_per_s"] for report in (first, *others))
    return {**first, "results": first["results"] + rows, "copy_gb_per_s": bandwidth}


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw hpip's speed-ups in CPU time as bars; warm, one thread."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    rows = [r for r, _ in _pairs(report["results"]) if r["threads"] == 1 and r["cache"] == "warm"]
    labels = [f"{row['case']}, {row['picture']}\nagainst {row['contender']}" for row in rows]
    ratios = [row["cpu_times_slower_than_hpip"] for row in rows]
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.42 * len(rows)), layout="constrained")
    places = range(len(rows))
    bars = axes.barh(places, ratios, color="#3a7ca5")
    axes.bar_label(bars, fmt="%.1fx", padding=3, fontsize=7)
    for place, row in zip(places, rows, strict=True):
        if row["wanted"]:
            axes.plot([row["wanted"]] * 2, [place - 0.45, place + 0.45], color="#c1121f")
    axes.set_yticks(places, labels, fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("speed-up of hpip in CPU time (red: goal), 1 thread, warm cache")
    figure.savefig(path)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables; draw the plot if requested."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels.report")
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--all", action="store_true", help="all threads and caches")
    options = parser.parse_args(arguments)
    report = joined(json.loads(path.read_text(encoding="utf-8")) for path in options.results)
    print(markdown(report, options.all))
    if options.plot:
        plot(report, options.plot)


if __name__ == "__main__":
    main(sys.argv[1:])
