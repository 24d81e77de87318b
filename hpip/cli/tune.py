# SPDX-License-Identifier: Apache-2.0
"""The commands `hpip tune`, `hpip explain` and `hpip doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hpip.cli.doctor import Finding, diagnose, examine
from hpip.cli.flags import Debug, Precision, Threads
from hpip.cli.waiting import tell_progress
from hpip.common.cache import CACHE_VARIABLE, Cache
from hpip.common.devices import parse_devices
from hpip.common.system import available_cpus, installed_version
from hpip.errors import InvalidInputError
from hpip.inference.arguments import check_count, check_precision
from hpip.inference.tuning.budget import THOROUGH_BUDGET_S, Limits
from hpip.inference.tuning.candidates import TuningRequest
from hpip.inference.tuning.images import MOST_TO_CALIBRATE, MOST_TO_COMPARE, read_images
from hpip.inference.tuning.records import Verdict, engine_rows, label
from hpip.inference.tuning.remedies import mendable
from hpip.inference.tuning.tune import known, tune
from hpip.model.official import locate_model
from hpip.model.spec import load_model_spec

ModelName = Annotated[
    str, typer.Argument(help="Model directory, bundle, name of an official model, or demo.")
]
OneDevice = Annotated[
    str | None,
    typer.Option("--device", help="cpu, gpu:0, npu:0, xpu:0 or mlu:0.", show_default="cpu"),
]
PrintJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

# Tables in a file or a pipe are not wrapped at 80 columns.
_FILE_WIDTH = 160
_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


def tune_command(
    models: Annotated[
        list[str],
        typer.Argument(help="Model directories, bundles, names of official models, or demo."),
    ],
    input: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="Your images, to validate engines on. int8 requires them: at least 4, ideally 32. "
            "hpip calibrates int8 with three quarters of them and validates it on the rest.",
            show_default="the images that come with hpip",
        ),
    ] = None,
    device: OneDevice = None,
    threads: Threads = None,
    precision: Precision = "fp32",
    budget: Annotated[
        float, typer.Option("--budget", help="Maximum tuning time per model, in seconds.")
    ] = THOROUGH_BUDGET_S,
    again: Annotated[
        bool, typer.Option("--again", help="Measure again, and replace the cached result.")
    ] = False,
    print_json: PrintJson = False,
    debug: Debug = False,
) -> None:
    """Find the fastest engine whose results match plain Paddle's, and cache the choice.

    Exits with 1 if a model will run slower for a reason that you can change.
    """
    most = MOST_TO_CALIBRATE if check_precision(precision) == "int8" else MOST_TO_COMPARE
    images = read_images(input, most=most) if input else None
    if not budget > 0:
        raise InvalidInputError(f"--budget: expected seconds above 0; received {budget:g}")
    reports: list[dict[str, Any]] = []
    faults: list[str] = []
    for model in models:
        request = _request(model, device, threads, precision)
        with tell_progress("tuning"):
            tuned = tune(request, limits=Limits(budget), images=images, again=again, retry=True)
        reports.append(_report(request, tuned.verdict))
        if not print_json:
            _print_verdict(request, tuned.verdict)
        found = (mendable(request, tuned), _unsaved(request, tuned.verdict))
        faults += [text for text in found if text]
    if print_json:
        typer.echo(json.dumps(reports, indent=1))
    for fault in faults:
        typer.echo(f"problem: {fault}", err=True)
    if faults:
        raise typer.Exit(1)


def _unsaved(request: TuningRequest, verdict: Verdict) -> str:
    """Why the next start does not find a complete result, and what helps; empty if it does."""
    # A new cache, which does not see what an earlier one keeps for this process only.
    cache = Cache()
    if not verdict.trials or known(request, cache=cache) is not None:
        return ""
    return (
        f"the cache {cache.root} can't be written, so hpip tunes {request.spec.model_name} again "
        f"at the next start. Set {CACHE_VARIABLE} to a writable folder."
    )


def explain_command(
    model: ModelName,
    device: OneDevice = None,
    threads: Threads = None,
    precision: Precision = "fp32",
    print_json: PrintJson = False,
    debug: Debug = False,
) -> None:
    """Show which engine runs a model on this machine, and why hpip rejected the others.

    If the model has not been tuned yet, hpip tunes it first.
    """
    request = _request(model, device, threads, precision)
    tuned = known(request)
    if tuned is None:
        with tell_progress("tuning"):
            tuned = tune(request)
    if print_json:
        typer.echo(json.dumps(_report(request, tuned.verdict), indent=1))
    else:
        _print_verdict(request, tuned.verdict)
    if fault := mendable(request, tuned):
        typer.echo(f"warning: {fault}", err=True)


def doctor_command(print_json: PrintJson = False, debug: Debug = False) -> None:
    """Check the installation, and say how to fix each problem."""
    with tell_progress("checking the engines and the machine"):
        findings = diagnose(examine())
    if print_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        print_findings(findings)
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)


def _request(model: str, device: str | None, threads: int | None, precision: str) -> TuningRequest:
    spec = load_model_spec(locate_model(model))
    spec.check_parameters()
    devices = parse_devices(device or "cpu")
    count = check_count(threads or available_cpus(), "threads")
    request = TuningRequest(spec, devices[0], count, check_precision(precision))
    request.require_baseline()
    return request


def _report(request: TuningRequest, verdict: Verdict) -> dict[str, Any]:
    return {
        "model": request.spec.model_name,
        "model_dir": str(request.spec.model_dir),
        "program": verdict.program,
        "program_reason": verdict.program_reason,
        "engine": asdict(verdict.selection.engine),
        "reason": verdict.selection.reason,
        "rejected": dict(verdict.selection.rejected),
        "baseline_ms": verdict.baseline_ms,
        "baseline_cpu_ms": verdict.baseline_cpu_ms,
        "compared_by": verdict.metric,
        "provisional": verdict.provisional,
        "untried": list(verdict.untried),
        "complete": verdict.complete,
        "trials": [asdict(trial) for trial in verdict.trials],
    }


def _print_verdict(request: TuningRequest, verdict: Verdict) -> None:
    console = _console()
    name = escape(request.spec.model_name)
    console.print(f"[bold]{name}[/bold] ({escape(str(request.spec.model_dir))})")
    graph = "truncated graph" if verdict.program == "cut" else "original graph"
    console.print(f"graph: {graph} ({verdict.program_reason})", markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("engine", "version", "status", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("ms", "CPU ms", "x plain Paddle", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    paddle_version = installed_version("paddlepaddle-gpu") or installed_version("paddlepaddle")
    for row in engine_rows(verdict, request.baseline):
        trial = row.trial
        peak_rss_bytes = trial.peak_rss_bytes if trial else None
        version = trial.version if trial else paddle_version if row.speedup else None
        table.add_row(
            Text(row.engine),
            Text(version or ""),
            row.status,
            trial.state if trial else "reference" if row.speedup else "",
            _number(row.time_ms, ".1f"),
            _number(row.cpu_ms, ".1f"),
            _number(row.speedup, ".2f"),
            _number(None if peak_rss_bytes is None else peak_rss_bytes / 1e6, ".0f"),
            Text(row.reason),
        )
    console.print(table)
    for trial in verdict.trials:
        if trial.accuracy:
            console.print(f"validation of {label(trial.engine)}: {trial.accuracy}", markup=False)
    if not verdict.complete:
        console.print(
            "Tuning is not complete: a later start or `hpip tune` continues it.", markup=False
        )


def print_findings(findings: list[Finding]) -> None:
    """Print a table of findings, each with its fix."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        colour = _COLOURS[finding.level]
        text = finding.text + (f"\n  -> {finding.fix}" if finding.fix else "")
        table.add_row(Text(finding.level, style=colour), Text(finding.topic), Text(text))
    _console().print(table)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_FILE_WIDTH)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
