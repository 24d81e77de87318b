# SPDX-License-Identifier: Apache-2.0
"""`hpip serve`: the flags of the HTTP server; see docs/serving.md."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hpip.cli.flags import (
    USE_HPIP_HELP,
    Debug,
    Device,
    Font,
    HpiConfig,
    Model,
    ModelDir,
    Threads,
    Threshold,
)
from hpip.cli.values import parse_mapping
from hpip.errors import BackendUnavailableError, InvalidInputError
from hpip.inference.pipeline_file import load_pipeline_config

TOKEN_VARIABLE = "HPIP_SERVING_TOKEN"


def serve_command(
    pipeline: Annotated[
        str | None,
        typer.Option("--pipeline", help="instance_segmentation, or the path of a pipeline file."),
    ] = None,
    model: Model = None,
    model_dir: ModelDir = None,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            help="Address to listen on; 0.0.0.0 accepts connections from other machines.",
            show_default="127.0.0.1",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", help="Port; 0 takes any free port.", show_default="8080"),
    ] = None,
    device: Device = None,
    use_hpip: Annotated[
        bool | None,
        typer.Option(
            "--use_hpip/--no-hpip",
            help=USE_HPIP_HELP,
            show_default="the pipeline file's, else --use_hpip",
        ),
    ] = None,
    hpi_config: HpiConfig = None,
    threshold: Threshold = None,
    threads: Threads = None,
    font: Font = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            help="Worker processes; each loads the model.",
            show_default="one per device",
        ),
    ] = None,
    max_batch_size: Annotated[
        int | None,
        typer.Option(
            "--max-batch-size",
            help="Maximum images per inference call.",
            show_default="the pipeline's batch_size",
        ),
    ] = None,
    batch_timeout_ms: Annotated[
        float | None,
        typer.Option(
            "--batch-timeout-ms",
            help="Maximum time that an image waits for others to fill a batch.",
            show_default="0",
        ),
    ] = None,
    max_queue: Annotated[
        int | None,
        typer.Option(
            "--max-queue",
            help="Maximum images in the queue; further requests get HTTP 503.",
            show_default="64",
        ),
    ] = None,
    request_timeout_s: Annotated[
        float | None,
        typer.Option(
            "--request-timeout-s",
            help="Maximum time of a request; then it gets HTTP 504.",
            show_default="120",
        ),
    ] = None,
    body_timeout_s: Annotated[
        float | None,
        typer.Option(
            "--body-timeout-s", help="Maximum time to receive a request body.", show_default="30"
        ),
    ] = None,
    answer_timeout_s: Annotated[
        float | None,
        typer.Option(
            "--answer-timeout-s",
            help="Maximum time for a client to receive a response.",
            show_default="60",
        ),
    ] = None,
    shutdown_timeout_s: Annotated[
        float | None,
        typer.Option(
            "--shutdown-timeout-s",
            help="Maximum time to finish running requests at shutdown.",
            show_default="120",
        ),
    ] = None,
    max_body_bytes: Annotated[
        int | None,
        typer.Option(
            "--max-body-bytes", help="Maximum size of a request body.", show_default="67108864"
        ),
    ] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            "--max-pixels", help="Maximum width x height of an image.", show_default="64000000"
        ),
    ] = None,
    max_images: Annotated[
        int | None,
        typer.Option("--max-images", help="Maximum images per request.", show_default="16"),
    ] = None,
    max_detections: Annotated[
        int | None,
        typer.Option("--max-detections", help="Maximum instances per image.", show_default="1000"),
    ] = None,
    visualize: Annotated[
        bool | None,
        typer.Option(
            "--visualize/--no-visualize",
            help="Return annotated images unless the request says otherwise.",
            show_default="visualize",
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            help="Accept requests with this name in the Host header, such as a proxy's; * allows"
            " all; repeatable.",
            show_default="any; for --host 127.0.0.1 this machine's",
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-origin",
            help="Accept requests from web pages of this origin (https://HOST[:PORT]); * allows"
            " all; repeatable.",
            show_default="the server's own",
        ),
    ] = None,
    allow_url_input: Annotated[
        bool | None,
        typer.Option(
            "--allow-url-input",
            help="Fetch images by http(s) URL from public hosts.",
            show_default="off",
        ),
    ] = None,
    url_host: Annotated[
        list[str] | None,
        typer.Option(
            "--url-host",
            help="Fetch images from this host only; repeatable.",
            show_default="any public host",
        ),
    ] = None,
    private_url_host: Annotated[
        list[str] | None,
        typer.Option(
            "--private-url-host",
            help="Also fetch images from this host if its address is private; repeatable.",
            show_default="none",
        ),
    ] = None,
    url_timeout_s: Annotated[
        float | None,
        typer.Option(
            "--url-timeout-s", help="Maximum time to fetch an image by URL.", show_default="10"
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            help=f"File with the bearer token that requests must carry, or set {TOKEN_VARIABLE}.",
            show_default="no token",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Serve a pipeline over PaddleX's HTTP API; see docs/serving.md."""
    if pipeline is None and model is None and model_dir is None:
        raise InvalidInputError(
            "expected --pipeline NAME, --model_dir DIR or --model NAME; received none"
        )
    run_serve(
        {
            "pipeline": pipeline,
            "model": model,
            "model_dir": model_dir,
            "device": device,
            "use_hpip": use_hpip,
            "hpi_config": parse_mapping(hpi_config, "--hpi_config"),
            "threshold": threshold,
            "threads": threads,
            "font_path": font,
        },
        {
            "host": host,
            "port": port,
            "workers": workers,
            "max_batch_size": max_batch_size,
            "batch_timeout_ms": batch_timeout_ms,
            "max_queue": max_queue,
            "request_timeout_s": request_timeout_s,
            "body_timeout_s": body_timeout_s,
            "answer_timeout_s": answer_timeout_s,
            "shutdown_timeout_s": shutdown_timeout_s,
            "max_body_bytes": max_body_bytes,
            "max_pixels": max_pixels,
            "max_images": max_images,
            "max_detections": max_detections,
            "visualize": visualize,
            "allowed_hosts": allowed_host or None,
            "cors_origins": cors_origin or None,
            "allow_url_input": allow_url_input,
            "url_hosts": url_host or None,
            "private_url_hosts": private_url_host or None,
            "url_timeout_s": url_timeout_s,
            "token": _token(token_file),
        },
    )


def run_serve(pipeline: Mapping[str, Any], flags: Mapping[str, Any]) -> None:
    """Serve until SIGINT or SIGTERM stops the process.

    Args:
        pipeline: keyword arguments of `create_pipeline`.
        flags: fields of `ServingSettings`; None means the pipeline file's value, else the default.

    Raises:
        BackendUnavailableError: the extra `serving` is not installed.
        HpipError: a flag is out of range, or the model can't be loaded.
    """
    try:
        from hpip.serving.run import serve
        from hpip.serving.settings import make_settings
    except ImportError as error:
        raise BackendUnavailableError(
            "serving", f"{error.name} is not installed.", "Install it: pip install 'hpip[serving]'."
        ) from error
    config = load_pipeline_config(pipeline.get("pipeline") or "instance_segmentation")
    settings = make_settings(config.serving, flags)

    def print_address(url: str) -> None:
        """Print the server's address and who can reach it."""
        typer.echo(
            f"hpip serves on {url} (the model is still loading; Ctrl-C stops the server)", err=True
        )
        if settings.host in ("127.0.0.1", "localhost", "::1"):
            typer.echo(
                "Only this machine can reach the server. To open it to the network, use"
                " --host 0.0.0.0 with --token-file; see docs/serving.md.",
                err=True,
            )
        elif settings.token is None:
            typer.echo(
                "No token is set, so everyone who can reach this port can use the server"
                " (--token-file sets one).",
                err=True,
            )

    serve(settings, pipeline, config, on_listening=print_address)


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"--token-file: can't read {file}: {error}") from error
