# SPDX-License-Identifier: Apache-2.0
"""The command `hpip export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpip.bundle.export import ExportReport, export_model
from hpip.cli.flags import Debug, Precision, Threads
from hpip.cli.waiting import tell_progress
from hpip.inference.tuning.records import label


def export_command(
    model: Annotated[
        str, typer.Argument(help="Model directory, name of an official model, or demo.")
    ],
    output: Annotated[
        Path, typer.Argument(help="Path of the bundle, ending in .hpip, or an existing folder.")
    ],
    input: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="Your images, on which engines are validated too, here and with hpip tune.",
        ),
    ] = None,
    precision: Precision = "fp32",
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include",
            help="openvino: add its compiled models, for a faster first start on processors like "
            "this one. They are as large as the weights.",
        ),
    ] = None,
    threads: Threads = None,
    unverified: Annotated[
        bool,
        typer.Option(
            "--unverified", help="Write the bundle even if no engine's results are valid."
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Write a model into one file that runs without Paddle, on ONNX Runtime or OpenVINO.

    The bundle contains plain Paddle's results on some images, so that engines are validated on
    every machine that it runs on. Exits with 1 if no engine has the same results here.
    """
    with tell_progress("exporting"):
        report = export_model(
            model,
            output,
            images=input or (),
            precision=precision,
            include=include or (),
            threads=threads,
            unverified=unverified,
        )
    _print(report)


def _print(report: ExportReport) -> None:
    size_mb, weights_mb = report.size_bytes / 1e6, report.weights_bytes / 1e6
    typer.echo(f"bundle:   {report.path} ({size_mb:.1f} MB, weights {weights_mb:.1f} MB)")
    typer.echo(f"model:    {report.model_name}")
    if report.verdict is None:
        typer.echo(f"NOT VERIFIED: {report.reason}")
        return
    for trial in report.verdict.trials:
        typer.echo(f"engine:   {label(trial.engine)}: {trial.outcome}")
    typer.echo(f"run it:   hpip predict --model_dir {report.path} --input IMAGE --save_path out")
