# SPDX-License-Identifier: Apache-2.0
"""The commands that choose an engine, tell why, and look for what is wrong."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hpip.cli.doctor import Finding, diagnose, examine
from hpip.cli.flags import Debug, Device, Threads
from hpip.cli.waiting import tell_progress
from hpip.common.devices import parse_devices
from hpip.common.system import available_cpus, installed_version
from hpip.errors import InvalidInputError
from hpip.inference.arguments import check_count, check_precision
from hpip.inference.tuning.budget import THOROUGH_BUDGET_S, Limits
from hpip.inference.tuning.candidates import Request
from hpip.inference.tuning.images import MOST_TO_CALIBRATE, MOST_TO_COMPARE, read_pictures
from hpip.inference.tuning.records import Trial, Verdict, label
from hpip.inference.tuning.tune import known, tune
from hpip.model.official import find_model
from hpip.model.spec import load_model_spec

ModelName = Annotated[str, typer.Argument(help="Directory or name of the model, or demo.")]
Precision = Annotated[
    str, typer.Option("--precision", help="Lowest that is allowed: fp32, bf16, fp16 or int8.")
]
PrintJson = Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")]

# A table that goes to a file or a pipe is not folded at 80 columns.
_FILE_WIDTH = 160
_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


def tune_command(
    models: Annotated[list[str], typer.Argument(help="Directories or names of models, or demo.")],
    input: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="Pictures of your own to compare the answers on. int8 needs them: at least 4, "
            "best 32; three quarters calibrate it, the answers are compared on the others.",
        ),
    ] = None,
    device: Device = None,
    threads: Threads = None,
    precision: Precision = "fp32",
    budget: Annotated[
        float, typer.Option("--budget", help="Most seconds for one model.")
    ] = THOROUGH_BUDGET_S,
    again: Annotated[
        bool, typer.Option("--again", help="Measure anew what is known already.")
    ] = False,
    print_json: PrintJson = False,
    debug: Debug = False,
) -> None:
    """Find the fastest engine that gives plain Paddle's answers, and remember it."""
    most = MOST_TO_CALIBRATE if check_precision(precision) == "int8" else MOST_TO_COMPARE
    pictures = read_pictures(input, most=most) if input else None
    if not budget > 0:
        raise InvalidInputError(f"--budget: expected seconds above 0; received {budget:g}")
    reports = []
    for model in models:
        request = _request(model, device, threads, precision)
        with tell_progress("tuning"):
            tuned = tune(request, limits=Limits(budget), pictures=pictures, again=again)
        reports.append(_report(request, tuned.verdict))
        if not print_json:
            _print_verdict(request, tuned.verdict)
    if print_json:
        typer.echo(json.dumps(reports, indent=1))


def explain_command(
    model: ModelName,
    device: Device = None,
    threads: Threads = None,
    precision: Precision = "fp32",
    print_json: PrintJson = False,
    debug: Debug = False,
) -> None:
    """Tell which engine a model runs on here, why, and what speaks against the others.

    Tunes first, as a first use does, where nothing is known yet.
    """
    request = _request(model, device, threads, precision)
    verdict = known(request)
    if verdict is None:
        with tell_progress("tuning"):
            verdict = tune(request).verdict
    if print_json:
        typer.echo(json.dumps(_report(request, verdict), indent=1))
    else:
        _print_verdict(request, verdict)


def doctor_command(print_json: PrintJson = False, debug: Debug = False) -> None:
    """Look for what is wrong with the installation, and tell how to mend it."""
    with tell_progress("looking at engines and machine"):
        findings = diagnose(examine())
    if print_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        _print_findings(findings)
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)


def _request(model: str, device: str | None, threads: int | None, precision: str) -> Request:
    folder = Path(model).expanduser()
    spec = load_model_spec(folder if folder.is_dir() else find_model(model))
    spec.check_parameters()
    devices = parse_devices(device or "cpu")
    count = check_count(threads or available_cpus(), "threads")
    return Request(spec, devices[0], count, check_precision(precision))


def _report(request: Request, verdict: Verdict) -> dict[str, Any]:
    return {
        "model": request.spec.model_name,
        "model_dir": str(request.spec.model_dir),
        "program": verdict.program,
        "program_reason": verdict.program_reason,
        "engine": asdict(verdict.selection.engine),
        "reason": verdict.selection.reason,
        "rejected": dict(verdict.selection.rejected),
        "floor_ms": verdict.floor_ms,
        "complete": verdict.complete,
        "trials": [asdict(trial) for trial in verdict.trials],
    }


def _print_verdict(request: Request, verdict: Verdict) -> None:
    console = _console()
    console.print(f"[bold]{request.spec.model_name}[/bold] ({request.spec.model_dir})")
    console.print(f"program: {verdict.program}; {verdict.program_reason}", markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "engine", "version", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("ms", "x plain Paddle", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("accuracy, or the reason against it", overflow="fold")
    chosen = verdict.selection.engine
    floor_version = installed_version("paddlepaddle-gpu") or installed_version("paddlepaddle")
    floor = Trial(request.floor, floor_version or "", "verified", "", verdict.floor_ms, 1.0)
    for trial in (floor, *verdict.trials):
        is_floor = trial is floor
        table.add_row(
            "*" if trial.engine == chosen else "",
            label(trial.engine),
            trial.version,
            "reference" if is_floor else trial.state,
            _number(trial.time_ms, ".1f"),
            _number(1 / trial.ratio if trial.ratio else None, ".2f"),
            _number(trial.peak_rss_bytes and trial.peak_rss_bytes / 1e6, ".0f"),
            trial.accuracy if trial.state == "verified" else trial.reason,
        )
    console.print(table)
    tried = {label(trial.engine) for trial in (floor, *verdict.trials)}
    for name, reason in verdict.selection.rejected:
        if name not in tried:
            console.print(f"  {name}: {reason}", markup=False, highlight=False)
    console.print(f"runs on {label(chosen)}: {verdict.selection.reason}", markup=False)
    if not verdict.complete:
        console.print("not everything was tried; a later start, or `hpip tune`, goes on")


def _print_findings(findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        colour = _COLOURS[finding.level]
        text = finding.text + (f"\n  -> {finding.fix}" if finding.fix else "")
        table.add_row(f"[{colour}]{finding.level}[/{colour}]", finding.topic, text)
    _console().print(table)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_FILE_WIDTH)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
