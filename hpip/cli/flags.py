# SPDX-License-Identifier: Apache-2.0
"""Flags that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Input = Annotated[
    list[str] | None,
    typer.Option(
        "--input", help="Image, URL, directory, pattern or PDF; may be given several times."
    ),
]
SavePath = Annotated[
    Path | None,
    typer.Option("--save_path", "--save-path", help="Directory for JSON and pictures."),
]
Device = Annotated[
    str | None, typer.Option("--device", help="cpu, gpu:0, gpu:0,1, npu:0, xpu:0 or mlu:0.")
]
Threshold = Annotated[
    float | None, typer.Option("--threshold", help="Lowest score, 0 to 1.", show_default=False)
]
ModelDir = Annotated[
    str | None, typer.Option("--model_dir", "--model-dir", help="Directory of the model.")
]
HpiConfig = Annotated[
    str | None,
    typer.Option("--hpi_config", "--hpi-config", help="Mapping as JSON or a Python literal."),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch_size", "--batch-size", help="Images per run.")
]
Threads = Annotated[int | None, typer.Option("--threads", help="CPU threads.")]
Model = Annotated[str | None, typer.Option("--model", help="Official model's name, or demo.")]
Font = Annotated[
    str | None,
    typer.Option(
        "--font", help="Font file for labels. [OpenCV's; other scripts: extra fonts or the system]"
    ),
]
NoHpip = Annotated[
    bool, typer.Option("--no-hpip", help="Run the untouched program on plain Paddle.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
