# SPDX-License-Identifier: Apache-2.0
r"""Compares the tuned hpip with stock PaddleX, and with hpip's performance goals.

    python -m benchmarks.stock ZOO_DIR --photo P.jpg --crowded Q.jpg \
        --paddlex-python VENV/bin/python

It measures whole `predict` calls, and writes a report of `hpip bench` for each model and the table
to `results/stock`. With two-stage models, PaddleX takes a minute per call and 16 GB; hpip caches
such measurements.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.stock.goals import GOALS, MODELS, SUITES, THRESHOLD, Suite
from benchmarks.stock.table import goal_table, reports_in
from hpip.bench.record import load_report
from hpip.bench.render.tables import machine_line
from hpip.bench.render.terminal import TerminalWatcher
from hpip.bench.render.text import markdown_table
from hpip.bench.run import BenchRun
from hpip.bench.settings import BenchSettings
from hpip.common.files import write_atomically

RESULTS = Path(__file__).parents[1] / "results" / "stock"
_BUDGET_S = 60.0
_TUNE_BUDGET_S = 240.0


def settings_of(
    suite: Suite, model: str, zoo: Path, photo: str, paddlex_python: str
) -> BenchSettings:
    """The settings of `hpip bench` for one model of a suite."""
    return BenchSettings(
        models=(str(zoo / model),),
        images=(photo,),
        backends=suite.backends,
        sizes=suite.sizes,
        thresholds=(THRESHOLD,),
        paddlex_python=paddlex_python,
        # Loading and validation have run each contender before the rounds.
        warmup=0,
        budget_s=_BUDGET_S,
        tune_budget_s=_TUNE_BUDGET_S,
        timeout_s=suite.timeout_s,
    )


def wanted(
    suites: Sequence[str] | None, models: Sequence[str] | None
) -> Iterator[tuple[Suite, str]]:
    """The selected models with their suites; None selects all."""
    for suite in SUITES:
        for model in suite.models:
            if (not suites or suite.name in suites) and (not models or model in models):
                yield suite, model


def measure(settings: BenchSettings, path: Path, *, resume: bool) -> None:
    """Measure one model; saves its report after each workload."""
    earlier = load_report(path) if resume and path.exists() else None
    with TerminalWatcher(Console(stderr=True, soft_wrap=True)) as watcher:
        BenchRun(settings, watcher=watcher, save_to=path, resume=earlier).run()


def table_of(folder: Path) -> str:
    """The table of all measured models, as Markdown."""
    reports = reports_in(folder)
    machines = [f"- {report.rows[0].model}: {machine_line(report)}" for report in reports]
    return "\n".join([markdown_table(goal_table(GOALS, reports)), "", *machines, ""])


def main() -> None:
    """Measure the models; print and write the table."""
    parser = argparse.ArgumentParser(
        description="Compare the tuned hpip with stock PaddleX, and with hpip's performance goals."
    )
    parser.add_argument("zoo", type=Path, nargs="?", help="directory of the official models")
    parser.add_argument("--photo", help="image, which is resized to each size")
    parser.add_argument("--crowded", help="image with many instances, for PP-YOLOE_seg-S")
    parser.add_argument("--paddlex-python", help="Python interpreter with PaddleX")
    parser.add_argument("--suites", nargs="+", choices=[suite.name for suite in SUITES])
    parser.add_argument("--models", nargs="+", choices=MODELS)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    parser.add_argument("--show", action="store_true", help="print the table without measuring")
    options = parser.parse_args()
    if not options.show:
        needed = (options.zoo, options.photo, options.crowded, options.paddlex_python)
        if None in needed:
            parser.error("ZOO_DIR, --photo, --crowded and --paddlex-python are required")
        for suite, model in wanted(options.suites, options.models):
            photo = options.crowded if suite.crowded else options.photo
            settings = settings_of(suite, model, options.zoo, photo, options.paddlex_python)
            measure(settings, options.output / f"{model}.json", resume=options.resume)
    text = table_of(options.output)
    write_atomically(options.output / "table.md", text.encode())
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
