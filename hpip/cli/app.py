# SPDX-License-Identifier: Apache-2.0
"""The `hpip` command line: commands, panels of the help, and PaddleX's flags."""

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
from hpip.cli.export import export_command
from hpip.cli.flags import (
    USE_HPIP_HELP,
    BatchSize,
    Debug,
    Device,
    Font,
    HpiConfig,
    Input,
    Model,
    ModelDir,
    NoHpip,
    Precision,
    SavePath,
    Threads,
    Threshold,
)
from hpip.cli.help import MEASURE, PREPARE, RUN, UNDERSTAND, HpipGroup
from hpip.cli.predict import PredictRequest, run_predict
from hpip.cli.serve import run_serve, serve_command
from hpip.cli.tune import doctor_command, explain_command, tune_command
from hpip.cli.values import parse_classes, parse_mapping
from hpip.errors import HpipError, InvalidInputError
from hpip.evaluation.run import DEFAULT_THRESHOLD
from hpip.inference.pipeline_file import pipeline_file_text
from hpip.model.official import DEMO_NAME, demo_images

app = typer.Typer(
    name="hpip",
    cls=HpipGroup,
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Not "rich": it would read the brackets of texts such as 'hpip[cpu]' as markup.
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("serve", rich_help_panel=RUN)(serve_command)
app.command("explain", rich_help_panel=UNDERSTAND)(explain_command)
app.command("inspect", rich_help_panel=UNDERSTAND)(inspect_command)
app.command("doctor", rich_help_panel=UNDERSTAND)(doctor_command)
app.command("tune", rich_help_panel=PREPARE)(tune_command)
app.command("compile", rich_help_panel=PREPARE)(compile_command)
app.command("export", rich_help_panel=PREPARE)(export_command)
app.add_typer(cache_app, name="cache", rich_help_panel=PREPARE)
app.command(
    "bench",
    rich_help_panel=MEASURE,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)(bench_command)


class Reference(str, Enum):
    """What `hpip eval` can compare a model with."""

    PLAIN = "plain"


@app.callback(invoke_without_command=True)
def paddlex_style(
    context: typer.Context,
    pipeline: Annotated[
        str | None,
        typer.Option("--pipeline", help="instance_segmentation, or the path of a pipeline file."),
    ] = None,
    input: Input = None,
    save_path: SavePath = None,
    device: Device = None,
    threshold: Threshold = None,
    model_dir: ModelDir = None,
    use_hpip: Annotated[
        bool | None,
        typer.Option(
            "--use_hpip/--no-hpip",
            help=USE_HPIP_HELP,
            show_default="the pipeline file's, else --use_hpip",
        ),
    ] = None,
    hpi_config: HpiConfig = None,
    font: Font = None,
    get_pipeline_config: Annotated[
        str | None,
        typer.Option(
            "--get_pipeline_config",
            help="Print this pipeline's file, or write it to --save_path.",
        ),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the pipeline over HTTP, as hpip serve does.")
    ] = False,
    host: Annotated[
        str | None,
        typer.Option(
            "--host", help="With --serve: address to listen on.", show_default="127.0.0.1"
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="With --serve: port.", show_default="8080")
    ] = None,
    debug: Debug = False,
    help_paddlex: Annotated[
        bool,
        typer.Option(
            "--help-paddlex",
            help="Show PaddleX's flags, which hpip takes without a command.",
        ),
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Segment instances in images with PaddleX models, on the fastest engine of this machine.

    Start here:

    - `hpip doctor`: check the installation

    - `hpip predict --model demo --save_path out`: segment the images that come with hpip

    - `hpip predict --model_dir DIR --input IMAGE --save_path out`: segment with your own model

    `hpip COMMAND --help` describes the flags of a command. PaddleX's command line works without a
    command: `hpip --pipeline instance_segmentation --input IMAGE` (`hpip --help-paddlex`).
    """
    if context.invoked_subcommand is not None:
        return
    if help_paddlex:
        assert isinstance(context.command, HpipGroup)
        context.command.show_paddlex_flags()
        typer.echo(context.get_help())
    elif version:
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
            PredictRequest(
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


@app.command(rich_help_panel=RUN)
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
        typer.Option(
            "--max_detections",
            "--max-detections",
            help="Maximum instances per image: those with the highest scores.",
            show_default="no limit",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            help="Comma-separated labels or class ids to detect.",
            show_default="all",
        ),
    ] = None,
    threads: Threads = None,
    precision: Precision = "auto",
    workers: Annotated[
        int, typer.Option("--workers", help="Images processed concurrently; they share --threads.")
    ] = 1,
    print_results: Annotated[
        bool, typer.Option("--print", help="Print every result in full, not only the counts.")
    ] = False,
    font: Font = None,
    flat: Annotated[
        bool, typer.Option("--flat", help="Save into one folder, without the input's sub-folders.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Segment images, and save a JSON file and an annotated image for each.

    Results of a directory lie in the same sub-folders as their images; names that collide are
    numbered.

    `--model demo` needs no `--input`: hpip then segments the images that come with it.
    """
    _expect_model(model, model_dir)
    shipped = demo_images() if model == DEMO_NAME and not input else []
    _predict(
        PredictRequest(
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


@app.command("eval", rich_help_panel=MEASURE)
def evaluate(
    images: Annotated[
        Path, typer.Option("--images", help="Root folder of the `file_name`s in the annotations.")
    ],
    annotations: Annotated[
        Path, typer.Option("--annotations", help="COCO annotation file (JSON).")
    ],
    model: Model = None,
    model_dir: ModelDir = None,
    threshold: Annotated[
        float, typer.Option("--threshold", help="Score threshold of the evaluated detections.")
    ] = DEFAULT_THRESHOLD,
    device: Device = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", help="Evaluate only the first N images.", show_default="all"),
    ] = None,
    save_path: Annotated[
        Path | None,
        typer.Option(
            "--save_path",
            "--save-path",
            help="Directory for detections, ground truth and metrics.",
            show_default="nothing is saved",
        ),
    ] = None,
    print_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of tables.")
    ] = False,
    reference: Annotated[
        Reference | None,
        typer.Option(
            "--reference", help="plain: evaluate plain Paddle too, and print the differences."
        ),
    ] = None,
    no_hpip: NoHpip = False,
    batch_size: BatchSize = None,
    threads: Threads = None,
    debug: Debug = False,
) -> None:
    """Compute COCO mask AP and box AP of a model on a dataset; see docs/eval.md."""
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
    """Run the command line and exit with 0, 1 (an input or the run failed) or 2 (usage error)."""
    for stream in (sys.stdout, sys.stderr):
        # Names and labels of any script are printed on any console, with escapes where need be.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not os.environ.get("HPIP_LOG"):
        # Commands print failures at the end; a log line for each would break the progress bar.
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


def _predict(request: PredictRequest) -> None:
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
