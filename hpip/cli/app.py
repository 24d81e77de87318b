# SPDX-License-Identifier: Apache-2.0
"""Commands and their flags."""

from __future__ import annotations

import io
import logging
import os
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from hpip._core import __version__
from hpip.cli.bench import bench_command
from hpip.cli.compile import cache_app, compile_command, inspect_command
from hpip.cli.evaluate import EvalRequest, run_eval
from hpip.cli.flags import (
    BatchSize,
    Debug,
    Device,
    Font,
    HpiConfig,
    Input,
    Model,
    ModelDir,
    NoHpip,
    SavePath,
    Threads,
    Threshold,
)
from hpip.cli.predict import Request, run_predict
from hpip.cli.serve import run_serve, serve_command
from hpip.cli.tune import doctor_command, explain_command, tune_command
from hpip.cli.values import parse_classes, parse_mapping
from hpip.errors import HpipError, InvalidInputError
from hpip.evaluation.run import DEFAULT_THRESHOLD
from hpip.inference.pipeline_file import pipeline_file_text
from hpip.model.official import DEMO_NAME, demo_pictures

app = typer.Typer(
    name="hpip",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Segment instances in images with PaddleX models.",
)

app.command("compile")(compile_command)
app.command("inspect")(inspect_command)
app.command("serve")(serve_command)
app.command("tune")(tune_command)
app.command("explain")(explain_command)
app.command("doctor")(doctor_command)
app.command(
    "bench",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)(bench_command)
app.add_typer(cache_app, name="cache")


class Reference(str, Enum):
    """What `hpip eval` compares with."""

    PLAIN = "plain"


@app.callback(invoke_without_command=True)
def paddlex_style(
    context: typer.Context,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", help="instance_segmentation, or a .yaml file.")
    ] = None,
    input: Input = None,
    save_path: SavePath = None,
    device: Device = None,
    threshold: Threshold = None,
    model_dir: ModelDir = None,
    use_hpip: Annotated[
        bool | None,
        typer.Option("--use_hpip/--no-hpip", help="Off: the untouched program on plain Paddle."),
    ] = None,
    hpi_config: HpiConfig = None,
    font: Font = None,
    get_pipeline_config: Annotated[
        str | None,
        typer.Option(
            "--get_pipeline_config", help="Print a pipeline file, or write it to --save_path."
        ),
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Serve HTTP; see hpip serve.")] = False,
    host: Annotated[str | None, typer.Option("--host", help="With --serve: address.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="With --serve: port.")] = None,
    debug: Debug = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Segment instances in images with PaddleX models.

    Without a command, the flags are PaddleX's: hpip --pipeline instance_segmentation --input X
    """
    if context.invoked_subcommand is not None:
        return
    if version:
        typer.echo(__version__)
    elif get_pipeline_config is not None:
        _give_pipeline_file(get_pipeline_config, save_path)
    elif pipeline is None:
        typer.echo(context.get_help())
    elif serve:
        run_serve(
            {
                "pipeline": pipeline,
                "model_dir": model_dir,
                "device": device,
                "threshold": threshold,
                "use_hpip": use_hpip,
                "hpi_config": parse_mapping(hpi_config, "--hpi_config"),
                "font_path": font,
            },
            {"host": host, "port": port},
        )
    else:
        _predict(
            Request(
                pipeline=pipeline,
                model=None,
                model_dir=model_dir,
                input=input or [],
                save_path=save_path,
                device=device,
                threshold=threshold,
                use_hpip=use_hpip,
                hpi_config=parse_mapping(hpi_config, "--hpi_config"),
                print_results=True,
                keep_subfolders=False,
                font=font,
            )
        )


@app.command()
def predict(
    input: Input = None,
    model: Model = None,
    model_dir: ModelDir = None,
    save_path: SavePath = None,
    device: Device = None,
    threshold: Threshold = None,
    no_hpip: NoHpip = False,
    hpi_config: HpiConfig = None,
    batch_size: BatchSize = None,
    max_detections: Annotated[
        int | None,
        typer.Option("--max_detections", "--max-detections", help="Most instances in one picture."),
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Labels or ids to keep, with commas.")
    ] = None,
    threads: Threads = None,
    precision: Annotated[
        str, typer.Option("--precision", help="Lowest that is allowed: fp32, bf16, fp16 or int8.")
    ] = "auto",
    workers: Annotated[
        int, typer.Option("--workers", help="Images worked on at once; they share the threads.")
    ] = 1,
    print_results: Annotated[
        bool, typer.Option("--print", help="Print every result in full.")
    ] = False,
    font: Font = None,
    flat: Annotated[
        bool, typer.Option("--flat", help="Save into one folder, without the input's sub-folders.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Segment images and save a JSON file and a picture for each.

    Results of a directory lie in the same sub-folders as their images; names that collide are
    numbered.

    With --model demo, --input may be left out: the pictures that come with hpip are taken.
    """
    _expect_model(model, model_dir)
    shipped = demo_pictures() if model == DEMO_NAME and not input else []
    _predict(
        Request(
            pipeline=None,
            model=model,
            model_dir=model_dir,
            input=input or shipped,
            save_path=save_path,
            device=device,
            threshold=threshold,
            use_hpip=False if no_hpip else None,
            hpi_config=parse_mapping(hpi_config, "--hpi_config"),
            batch_size=batch_size,
            max_detections=max_detections,
            classes=parse_classes(classes),
            threads=threads,
            precision=precision,
            workers=workers,
            print_results=print_results,
            keep_subfolders=not flat,
            font=font,
        )
    )


@app.command("eval")
def evaluate(
    images: Annotated[
        Path, typer.Option("--images", help="Folder that the annotations' file names start from.")
    ],
    annotations: Annotated[Path, typer.Option("--annotations", help="COCO annotation file.")],
    model: Model = None,
    model_dir: ModelDir = None,
    threshold: Annotated[
        float, typer.Option("--threshold", help="Lowest score of the detections that count.")
    ] = DEFAULT_THRESHOLD,
    device: Device = None,
    limit: Annotated[
        int | None, typer.Option("--limit", help="Evaluate on the first so many images only.")
    ] = None,
    save_path: Annotated[
        Path | None,
        typer.Option(
            "--save_path", "--save-path", help="Directory for detections, truth and figures."
        ),
    ] = None,
    print_json: Annotated[
        bool, typer.Option("--json", help="Print JSON in place of tables.")
    ] = False,
    reference: Annotated[
        Reference | None,
        typer.Option("--reference", help="plain: show the difference to plain Paddle, too."),
    ] = None,
    no_hpip: NoHpip = False,
    batch_size: BatchSize = None,
    threads: Threads = None,
    debug: Debug = False,
) -> None:
    """Compute COCO's mask and box AP of a model on a dataset; see docs/eval.md."""
    _expect_model(model, model_dir)
    failed = run_eval(
        EvalRequest(
            model=model,
            model_dir=model_dir,
            images_dir=images,
            annotations=annotations,
            threshold=threshold,
            device=device,
            max_images=limit,
            save_path=save_path,
            print_json=print_json,
            with_reference=reference is Reference.PLAIN,
            use_hpip=False if no_hpip else None,
            batch_size=batch_size,
            threads=threads,
        )
    )
    if failed:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; exit code 0, 1 (an input or the run failed) or 2 (usage)."""
    for stream in (sys.stdout, sys.stderr):
        # Names and labels of any script are printed on any console, with escapes where need be.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not os.environ.get("HPIP_LOG"):
        # Failures are printed at the end; a warning of each as it happens would break the progress
        # bar.
        logger = logging.getLogger("hpip")
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    try:
        app()
    except HpipError as error:
        if "--debug" in sys.argv:
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


def _expect_model(model: str | None, model_dir: str | None) -> None:
    if model is None and model_dir is None:
        raise InvalidInputError("expected --model_dir DIR or --model NAME; received neither")


def _predict(request: Request) -> None:
    if not request.input:
        raise InvalidInputError("expected --input with an image, directory or URL; received none")
    if run_predict(request):
        raise typer.Exit(1)


def _give_pipeline_file(name: str, save_path: Path | None) -> None:
    text = pipeline_file_text(name)
    if save_path is None:
        typer.echo(text)
        return
    is_file = save_path.suffix.lower() in (".yaml", ".yml")
    target = save_path if is_file else save_path / f"{name}.yaml"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    typer.echo(f"wrote {target}")
