# SPDX-License-Identifier: Apache-2.0
"""The command `python -m hpip.bench`, which is also `hpip bench`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from hpip.bench.compare import compare_reports
from hpip.bench.contender import known_backends
from hpip.bench.record import Report, load_report
from hpip.bench.render.page import html_page
from hpip.bench.render.plots import plots_of, save_plots
from hpip.bench.render.terminal import TerminalWatcher, print_report
from hpip.bench.render.text import csv_text, markdown
from hpip.bench.run import BenchRun
from hpip.bench.settings import FORMATS, QUICK, BenchSettings, load_suite, merge
from hpip.common.files import write_atomically
from hpip.errors import HpipError, InvalidInputError, ModelNotFoundError
from hpip.model.official import DEMO_NAME, find_model

_INTERRUPTED = 130
# Tables in a file or a pipe are not wrapped to the width of a terminal.
_WIDTH_OF_NO_TERMINAL = 220
_NAME = "bench"
_STYLES = {"regression": "bold red", "slower": "yellow", "faster": "green", "note": "dim"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its exit code.

    0: success. 1: a regression, an invalid setting, or no measurement at all. 2: usage error.
    130: interrupted; the report holds the results up to then.
    """
    options = _parser().parse_args(arguments)
    try:
        sys.exit(_run(options))
    except HpipError as error:
        if options.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _run(options: argparse.Namespace) -> int:
    formats = _formats(options.format)
    old = load_report(options.compare) if options.compare else None
    code = 0
    if options.report:
        report = load_report(options.report)
    else:
        report, code = _measure(options)
    _write(report, formats, options.output)
    print_report(report, _console())
    if old is not None and _print_changes(report, old, options.max_regression):
        return 1
    if code == 0 and not any(row.timed for row in report.rows) and not report.load_rows:
        return 1
    return code


def _measure(options: argparse.Namespace) -> tuple[Report, int]:
    err = Console(stderr=True, soft_wrap=True)
    path = options.output / f"{_NAME}.json"
    earlier = None
    if options.resume and path.exists():
        earlier = load_report(path)
    settings = _settings(options, err)
    with TerminalWatcher(err) as watcher:
        watcher.doing("collecting facts about the machine")
        run = BenchRun(settings, watcher=watcher, save_to=path, resume=earlier)
        try:
            run.run()
        except KeyboardInterrupt:
            err.print(
                f"interrupted; the results so far are in {path}; --resume continues the run",
                markup=False,
            )
            return run.report, _INTERRUPTED
    return run.report, 0


def _settings(options: argparse.Namespace, err: Console) -> BenchSettings:
    given = {name: getattr(options, name) for name in vars(BenchSettings()) if name in options}
    suite = load_suite(options.suite) if options.suite else {}
    quick: dict[str, Any] = dict(QUICK) if options.quick else {}
    if "models" in quick and given["models"] is None and "models" not in suite:
        quick["models"] = _found(quick["models"], err)
    return merge(BenchSettings(), quick, suite, given)


def _found(models: Sequence[str], err: Console) -> tuple[str, ...]:
    """The models that are available locally or for download; the others are reported."""
    return tuple(model for model in models if _is_found(model, err))


def _is_found(model: str, err: Console) -> bool:
    try:
        find_model(model)
    except ModelNotFoundError as error:
        if model == DEMO_NAME:
            raise
        err.print(f"skipped: {error}", markup=False, highlight=False, style="yellow")
        return False
    return True


def _write(report: Report, formats: Sequence[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    report.save(folder / f"{_NAME}.json")
    if "md" in formats:
        write_atomically(folder / f"{_NAME}.md", markdown(report).encode())
    if "csv" in formats:
        write_atomically(folder / f"{_NAME}.csv", csv_text(report).encode())
    if "html" in formats:
        plots = plots_of(report)
        save_plots(plots, folder / "plots")
        write_atomically(folder / f"{_NAME}.html", html_page(report, plots).encode())


def _print_changes(report: Report, old: Report, bound: float) -> bool:
    """Print what changed, and return whether there is a regression."""
    changes = compare_reports(report, old, bound)
    out = _console()
    out.print(f"Changes since the report of {old.created_utc}:", style="bold", markup=False)
    for change in changes:
        style = _STYLES.get(change.kind)
        out.print(f"- {change.text}", markup=False, style=style, soft_wrap=True)
    regressions = sum(change.kind == "regression" for change in changes)
    out.print(f"{regressions} regressions", style="bold", highlight=False)
    return regressions > 0


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=_WIDTH_OF_NO_TERMINAL, highlight=False)


def _formats(text: str) -> list[str]:
    formats = [word for word in text.split(",") if word]
    for word in formats:
        if word not in FORMATS:
            raise InvalidInputError(
                f"format: expected some of {', '.join(FORMATS)}; received {word!r}"
            )
    return formats


def _list_of(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    def parse(text: str) -> tuple[Any, ...]:
        return tuple(kind(word) for word in text.split(",") if word)

    parse.__name__ = f"list of {kind.__name__}"
    return parse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hpip bench",
        description="Compare latency, memory and accuracy of engines; see docs/bench.md.",
    )
    words, whole, decimal = _list_of(str), _list_of(int), _list_of(float)
    what = parser.add_argument_group("workloads and contenders")
    what.add_argument(
        "--models", nargs="+", metavar="MODEL", help="model directories, official names, or demo"
    )
    what.add_argument(
        "--images",
        nargs="+",
        metavar="PATH",
        help="files, directories, glob patterns (default: the images of the demo model)",
    )
    what.add_argument(
        "--backends",
        type=words,
        help=f"comma-separated, of {', '.join(known_backends())} (default: auto,paddle)",
    )
    what.add_argument("--devices", type=words, help="cpu, gpu:0, ... (default: cpu)")
    what.add_argument("--precisions", type=words, help="fp32, bf16, fp16, int8 (default: fp32)")
    what.add_argument(
        "--batch-sizes", type=whole, metavar="N,...", help="images per call (default: 1)"
    )
    what.add_argument(
        "--sizes",
        type=words,
        metavar="HxW,...",
        help="resize the images to these sizes (default: no resize)",
    )
    what.add_argument(
        "--threads",
        type=whole,
        metavar="N,...",
        help="CPU threads (default: 0, all CPUs that may be used)",
    )
    what.add_argument(
        "--thresholds",
        type=decimal,
        metavar="T,...",
        help="score thresholds (default: -1, the model's own)",
    )
    what.add_argument(
        "--paddlex-python", metavar="PYTHON", help="interpreter of an environment with PaddleX"
    )
    what.add_argument("--coco", metavar="JSON", help="COCO annotation file, to measure AP")
    what.add_argument("--coco-images", metavar="DIR", help="root folder of its images")
    what.add_argument("--coco-limit", type=int, metavar="N", help="use only its first N images")
    what.add_argument(
        "--most-images", type=int, metavar="N", help="use only the first N of --images"
    )
    what.add_argument(
        "--suite", type=Path, metavar="YAML", help="read settings from a file; flags override it"
    )
    what.add_argument(
        "--quick", action="store_true", help="measure Mask-RT-DETR-S and demo in about two minutes"
    )
    load = parser.add_argument_group("load tests")
    load.add_argument(
        "--callers", type=whole, metavar="N,...", help="closed loops with N concurrent callers"
    )
    load.add_argument(
        "--rates", type=decimal, metavar="R,...", help="open loops with R requests per second"
    )
    load.add_argument(
        "--load-s", type=float, metavar="S", help="duration of each loop (default: 10)"
    )
    load.add_argument("--url", help="measure an HTTP service: http://host:port")
    how = parser.add_argument_group("duration and repetitions")
    how.add_argument(
        "--width",
        type=float,
        help="stop when every interval of a median is narrower (default: 0.05, which is 5 %%)",
    )
    how.add_argument(
        "--least-rounds", type=int, metavar="N", help="minimum number of rounds (default: 20)"
    )
    how.add_argument(
        "--budget-s",
        type=float,
        metavar="S",
        help="time limit for the rounds of one workload (default: 120)",
    )
    how.add_argument(
        "--tune-budget-s",
        type=float,
        metavar="S",
        help="time limit for tuning a model at its first use",
    )
    how.add_argument(
        "--warmup", type=int, metavar="N", help="untimed calls before the rounds (default: 1)"
    )
    how.add_argument(
        "--rest-s", type=float, metavar="S", help="pause before each timed call (default: 0.2)"
    )
    how.add_argument(
        "--timeout-s",
        type=float,
        metavar="S",
        help="kill a contender that does not reply in time (default: 900)",
    )
    how.add_argument(
        "--slow-s",
        type=float,
        metavar="S",
        help="cache references that take at least S per call (default: 10)",
    )
    how.add_argument(
        "--fresh", action="store_true", default=None, help="measure cached references again"
    )
    out = parser.add_argument_group("results")
    out.add_argument(
        "--format", default="md,json,html", help=f"of {','.join(FORMATS)} (default: md,json,html)"
    )
    out.add_argument(
        "--output",
        type=Path,
        default=Path("bench-results"),
        metavar="DIR",
        help="default: bench-results",
    )
    out.add_argument("--resume", action="store_true", help="continue the report in --output")
    out.add_argument(
        "--report", type=Path, metavar="JSON", help="print a saved report, without measuring"
    )
    out.add_argument("--compare", type=Path, metavar="JSON", help="compare with an earlier report")
    out.add_argument(
        "--max-regression",
        type=float,
        default=0.1,
        metavar="PART",
        help="exit with 1 if a contender is slower by more (default: 0.1, which is 10 %%)",
    )
    out.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser
