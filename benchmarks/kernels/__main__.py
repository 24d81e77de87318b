# SPDX-License-Identifier: Apache-2.0
"""Measure the kernels: `python -m benchmarks.kernels --output benchmarks/results/kernels.json`."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.kernels.case import Case
from benchmarks.kernels.environment import environment, offer_font_to_paddlex
from benchmarks.kernels.measure import copy_gb_per_s, measure_case

_FOLDER = Path(__file__).parent


def suites() -> list[str]:
    """Names of the case files, without "cases_"."""
    return sorted(path.stem.removeprefix("cases_") for path in _FOLDER.glob("cases_*.py"))


def load_cases(names: list[str]) -> Iterator[Case]:
    """The cases of these suites."""
    for name in names:
        yield from importlib.import_module(f"benchmarks.kernels.cases_{name}").cases()


def main(arguments: list[str] | None = None) -> None:
    """Run the cases; print a line for each contender, and write the JSON."""
    options = _parse(arguments)
    offer_font_to_paddlex()
    results = []
    copy_rates = [copy_gb_per_s()]
    for case in load_cases(options.suites):
        if not any(text in f"{case.name} {case.image_size}" for text in options.only):
            continue
        for threads in options.threads:
            rows = measure_case(case, threads, options.rounds, tuple(options.caches))
            results += rows
            for row in rows:
                print(
                    f"{row['case']:40} {row['picture']:>6} {threads} thread(s) {row['cache']:4} "
                    f"{row['contender']:36} {row['median_ms']:9.3f} ms (cpu "
                    f"{row['cpu_median_ms']:9.3f})  x{row['times_slower_than_hpip']:.2f} "
                    f"(cpu x{row['cpu_times_slower_than_hpip']:.2f})",
                    flush=True,
                )
    copy_rates.append(copy_gb_per_s())
    report = {
        "environment": environment(),
        "arguments": vars(options) | {"output": None},
        "copy_gb_per_s": max(copy_rates),
        "results": results,
    }
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    parser.add_argument("--suites", nargs="+", choices=suites(), default=suites())
    parser.add_argument(
        "--only", nargs="+", default=[""], help="cases with one of these texts in 'NAME IMAGE_SIZE'"
    )
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--caches", nargs="+", choices=["warm", "cold"], default=["warm", "cold"])
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--output", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
