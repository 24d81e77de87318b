# SPDX-License-Identifier: Apache-2.0
"""hpip after tuning against stock PaddleX, whole `predict` calls, beside what is promised.

    python -m benchmarks.stock ZOO_DIR --photo P.jpg --paddlex-python VENV/bin/python

Writes a report of `hpip bench` for each suite and the table to `results/stock`. Two-stage models
take PaddleX a minute a call and 16 GB; what it took is remembered.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from benchmarks.stock.goals import GOALS, SUITES, THRESHOLD, Suite
from benchmarks.stock.table import goal_table
from hpip._files import write_atomically
from hpip.bench.record import Report, load_report
from hpip.bench.render.tables import machine_line
from hpip.bench.render.terminal import TerminalWatcher
from hpip.bench.render.text import markdown_table
from hpip.bench.run import BenchRun
from hpip.bench.settings import BenchSettings

RESULTS = Path(__file__).parents[1] / "results" / "stock"
_BUDGET_S = 60.0
_TUNE_BUDGET_S = 240.0


def settings_of(suite: Suite, zoo: Path, photo: str, paddlex_python: str) -> BenchSettings:
    """What a suite asks `hpip bench` for."""
    return BenchSettings(
        models=tuple(str(zoo / model) for model in suite.models),
        images=(photo,),
        backends=suite.backends,
        sizes=suite.sizes,
        thresholds=(THRESHOLD,),
        paddlex_python=paddlex_python,
        # Each contender has made a call before the rounds: to load, and to be compared.
        warmup=0,
        budget_s=_BUDGET_S,
        tune_budget_s=_TUNE_BUDGET_S,
        timeout_s=suite.timeout_s,
    )


def measure(suite: Suite, settings: BenchSettings, folder: Path, *, resume: bool) -> None:
    """Run one suite; its report is saved after each workload."""
    path = folder / f"{suite.name}.json"
    earlier = load_report(path) if resume and path.exists() else None
    with TerminalWatcher(Console(stderr=True, soft_wrap=True)) as watcher:
        BenchRun(settings, watcher=watcher, save_to=path, resume=earlier).run()


def table_of(folder: Path) -> str:
    """All suites that were measured, as Markdown."""
    paths = [folder / f"{suite.name}.json" for suite in SUITES]
    reports: list[Report] = [load_report(path) for path in paths if path.exists()]
    machines = dict.fromkeys(machine_line(report) for report in reports)
    return "\n".join([markdown_table(goal_table(GOALS, reports)), "", *machines, ""])


def main() -> None:
    """Measure the suites; print and write the table."""
    parser = argparse.ArgumentParser(description="hpip against stock PaddleX.")
    parser.add_argument("zoo", type=Path, nargs="?", help="a folder with the official models")
    parser.add_argument("--photo", help="brought to each size")
    parser.add_argument("--paddlex-python", help="an interpreter that has PaddleX")
    parser.add_argument("--suites", nargs="+", choices=[suite.name for suite in SUITES])
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    parser.add_argument("--show", action="store_true", help="print the table, measure nothing")
    options = parser.parse_args()
    needed = (options.zoo, options.photo, options.paddlex_python)
    if not options.show and None in needed:
        parser.error("ZOO_DIR, --photo and --paddlex-python are needed")
    for suite in SUITES:
        if options.show or (options.suites and suite.name not in options.suites):
            continue
        settings = settings_of(suite, options.zoo, options.photo, options.paddlex_python)
        measure(suite, settings, options.output, resume=options.resume)
    text = table_of(options.output)
    write_atomically(options.output / "table.md", text.encode())
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
