# SPDX-License-Identifier: Apache-2.0
"""Flags that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

USE_HPIP_HELP = "Run the fastest validated engine, or plain Paddle with the original model graph."

Input = Annotated[
    list[str] | None,
    typer.Option("--input", help="Image, URL, directory, glob pattern or PDF; repeatable."),
]
SavePath = Annotated[
    Path | None,
    typer.Option(
        "--save_path",
        "--save-path",
        help="Directory for the JSON files and the images.",
        show_default="nothing is saved",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        help="cpu, gpu:0, gpu:0,1, npu:0, xpu:0 or mlu:0.",
        show_default="the pipeline file's, else gpu:0 if available, else cpu",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        help="Score threshold, 0 to 1.",
        show_default="the pipeline file's, else the model's",
    ),
]
ModelDir = Annotated[
    str | None,
    typer.Option(
        "--model_dir",
        "--model-dir",
        help="Directory of an exported model, or a bundle.",
    ),
]
HpiConfig = Annotated[
    str | None,
    typer.Option(
        "--hpi_config",
        "--hpi-config",
        help='Engine options as JSON or a Python literal, for example {"backend": "openvino"}.',
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch_size",
        "--batch-size",
        help="Images per inference call.",
        show_default="the pipeline file's, else 1",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", help="CPU threads.", show_default="all CPUs that may be used"),
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="Name of an official model, or demo for the embedded one."),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision", help="Lowest precision that hpip may choose: fp32, bf16, fp16 or int8."
    ),
]
Font = Annotated[
    str | None,
    typer.Option("--font", help="Font file for the labels on drawings; default: a font that fits."),
]
NoHpip = Annotated[
    bool,
    typer.Option("--no-hpip", help="Run the original model graph on plain Paddle (the baseline)."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
