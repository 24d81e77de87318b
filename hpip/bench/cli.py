# SPDX-License-Identifier: Apache-2.0
"""The command: `python -m hpip.bench`, also as `hpip bench`."""

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
# Tables in a file or a pipe are not folded to a terminal's width.
_WIDTH_OF_NO_TERMINAL = 220
_NAME = "bench"
_STYLES = {"regression": "bold red", "slower": "yellow", "faster": "green", "note": "dim"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave with its exit code.

    0: done. 1: a contender is a regression, nothing could be measured, or the request was wrong.
    2: usage. 130: interrupted; what was measured is saved.
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
        watcher.doing("looking at the machine")
        run = BenchRun(settings, watcher=watcher, save_to=path, resume=earlier)
        try:
            run.run()
        except KeyboardInterrupt:
            err.print(f"interrupted; saved to {path}; --resume goes on", markup=False)
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
    """The models that are here or can be downloaded; those that can't are named."""
    return tuple(model for model in models if _is_found(model, err))


def _is_found(model: str, err: Console) -> bool:
    try:
        find_model(model)
    except ModelNotFoundError as error:
        if model == DEMO_NAME:
            raise
        err.print(f"left out: {error}", markup=False, highlight=False, style="yellow")
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
    """Say what changed; whether there is a regression."""
    changes = compare_reports(report, old, bound)
    out = _console()
    out.print(f"Compared with the report of {old.created_utc}:", style="bold", highlight=False)
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
        description="Measure models and backends against each other; see docs/bench.md.",
    )
    words, whole, decimal = _list_of(str), _list_of(int), _list_of(float)
    what = parser.add_argument_group("what is measured")
    what.add_argument(
        "--models", nargs="+", metavar="MODEL", help="directories, official names or demo"
    )
    what.add_argument(
        "--images", nargs="+", metavar="PATH", help="files, folders, patterns; default: demo's"
    )
    what.add_argument("--backends", type=words, help=f"of {', '.join(known_backends())}")
    what.add_argument("--devices", type=words, help="cpu, gpu:0, ...")
    what.add_argument("--precisions", type=words, help="fp32, bf16, fp16, int8")
    what.add_argument("--batch-sizes", type=whole, metavar="N,...", help="images per call")
    what.add_argument("--sizes", type=words, metavar="HxW,...", help="bring the images to these")
    what.add_argument("--threads", type=whole, metavar="N,...", help="0: those allowed")
    what.add_argument("--thresholds", type=decimal, metavar="T,...", help="-1: each model's own")
    what.add_argument("--paddlex-python", metavar="PYTHON", help="interpreter that has PaddleX")
    what.add_argument("--coco", metavar="JSON", help="annotations, for mask AP")
    what.add_argument("--coco-images", metavar="DIR", help="folder of the annotations' images")
    what.add_argument("--coco-limit", type=int, metavar="N", help="first so many images of them")
    what.add_argument("--most-images", type=int, metavar="N", help="first so many of the images")
    what.add_argument("--suite", type=Path, metavar="YAML", help="settings from a file")
    what.add_argument("--quick", action="store_true", help="Mask-RT-DETR-S and demo in two minutes")
    load = parser.add_argument_group("many callers")
    load.add_argument("--callers", type=whole, metavar="N,...", help="closed loops")
    load.add_argument("--rates", type=decimal, metavar="R,...", help="open loops, requests per s")
    load.add_argument("--load-s", type=float, metavar="S", help="seconds of each loop")
    load.add_argument("--url", help="measure a service: http://host:port")
    how = parser.add_argument_group("how long")
    how.add_argument("--width", type=float, help="stop when intervals are narrower, 0.05 = 5 %%")
    how.add_argument("--least-rounds", type=int, metavar="N")
    how.add_argument("--budget-s", type=float, metavar="S", help="rounds of one workload")
    how.add_argument("--tune-budget-s", type=float, metavar="S", help="tuning of a new model")
    how.add_argument("--warmup", type=int, metavar="N", help="untimed calls")
    how.add_argument("--rest-s", type=float, metavar="S", help="pause before each timed call")
    how.add_argument("--timeout-s", type=float, metavar="S", help="kill who gives no answer")
    how.add_argument("--slow-s", type=float, metavar="S", help="remember references from here on")
    how.add_argument(
        "--fresh", action="store_true", default=None, help="measure anew what is remembered"
    )
    out = parser.add_argument_group("results")
    out.add_argument("--format", default="md,json,html", help=f"of {','.join(FORMATS)}")
    out.add_argument("--output", type=Path, default=Path("bench-results"), metavar="DIR")
    out.add_argument("--resume", action="store_true", help="go on with the report in --output")
    out.add_argument("--report", type=Path, metavar="JSON", help="show a report, measure nothing")
    out.add_argument("--compare", type=Path, metavar="JSON", help="tell what changed since then")
    out.add_argument(
        "--max-regression", type=float, default=0.1, metavar="PART", help="0.1 = 10 %%, then exit 1"
    )
    out.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser
