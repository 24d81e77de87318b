# SPDX-License-Identifier: Apache-2.0
"""`hpip serve`: the HTTP server; see docs/serving.md."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hpip.cli.flags import Debug, Device, Font, HpiConfig, Model, ModelDir, Threads, Threshold
from hpip.cli.values import parse_mapping
from hpip.errors import BackendUnavailableError, InvalidInputError
from hpip.inference.pipeline_file import load_pipeline_config

TOKEN_VARIABLE = "HPIP_SERVING_TOKEN"


def serve_command(
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", help="instance_segmentation, or a .yaml file.")
    ] = None,
    model: Model = None,
    model_dir: ModelDir = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on. [127.0.0.1: this machine]")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Port; 0 takes a free one. [8080]")
    ] = None,
    device: Device = None,
    use_hpip: Annotated[
        bool | None,
        typer.Option("--use_hpip/--no-hpip", help="Off: the untouched program on plain Paddle."),
    ] = None,
    hpi_config: HpiConfig = None,
    threshold: Threshold = None,
    threads: Threads = None,
    font: Font = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes with a model each. [one per device]")
    ] = None,
    max_batch_size: Annotated[
        int | None,
        typer.Option("--max-batch-size", help="Pictures of one run. [the pipeline's batch_size]"),
    ] = None,
    batch_timeout_ms: Annotated[
        float | None,
        typer.Option("--batch-timeout-ms", help="How long a picture waits for company. [0]"),
    ] = None,
    max_queue: Annotated[
        int | None, typer.Option("--max-queue", help="Pictures waiting; more get 503. [64]")
    ] = None,
    request_timeout_s: Annotated[
        float | None, typer.Option("--request-timeout-s", help="Then a request gets 504. [120]")
    ] = None,
    body_timeout_s: Annotated[
        float | None, typer.Option("--body-timeout-s", help="For a body to arrive. [30]")
    ] = None,
    answer_timeout_s: Annotated[
        float | None,
        typer.Option("--answer-timeout-s", help="For a client to take its answer. [60]"),
    ] = None,
    shutdown_timeout_s: Annotated[
        float | None, typer.Option("--shutdown-timeout-s", help="To finish at the end. [120]")
    ] = None,
    max_body_bytes: Annotated[
        int | None, typer.Option("--max-body-bytes", help="Largest body. [67108864]")
    ] = None,
    max_pixels: Annotated[
        int | None, typer.Option("--max-pixels", help="Largest picture. [64000000]")
    ] = None,
    max_images: Annotated[
        int | None, typer.Option("--max-images", help="Pictures of one request. [16]")
    ] = None,
    max_detections: Annotated[
        int | None, typer.Option("--max-detections", help="Instances in one picture. [1000]")
    ] = None,
    visualize: Annotated[
        bool | None,
        typer.Option("--visualize/--no-visualize", help="Draw where a request does not say. [yes]"),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            help="Name by which the server may be asked, such as a proxy's; * allows all;"
            " repeatable. [any; for --host 127.0.0.1 those of this machine]",
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-origin",
            help="Web pages of this origin (https://HOST[:PORT]) may ask, too; * allows all;"
            " repeatable.",
        ),
    ] = None,
    allow_url_input: Annotated[
        bool | None,
        typer.Option("--allow-url-input", help="Fetch pictures by http(s) URL from public hosts."),
    ] = None,
    url_host: Annotated[
        list[str] | None,
        typer.Option("--url-host", help="Fetch from this host only; may be repeated."),
    ] = None,
    private_url_host: Annotated[
        list[str] | None,
        typer.Option(
            "--private-url-host", help="Host that may have a private address; repeatable."
        ),
    ] = None,
    url_timeout_s: Annotated[
        float | None, typer.Option("--url-timeout-s", help="For a URL to answer. [10]")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            help=f"File with the bearer token that requests must carry; or set {TOKEN_VARIABLE}.",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Serve PaddleX's HTTP API; see docs/serving.md."""
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
    """Serve until the process is told to stop.

    Args:
        pipeline: arguments of `create_pipeline`.
        flags: fields of `ServingSettings`; None leaves the pipeline file's value or the default.

    Raises:
        BackendUnavailableError: the extra `serving` is not installed.
        HpipError: a flag is out of contract, or the model can't be loaded.
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

    def tell(url: str) -> None:
        """Say where the server listens and who can reach it."""
        typer.echo(f"hpip serves on {url} (the model is loading; Ctrl-C stops)", err=True)
        if settings.host in ("127.0.0.1", "localhost", "::1"):
            typer.echo(
                "Only this machine can reach it; --host 0.0.0.0 opens it to the network: set a"
                " token then (--token-file), and see docs/serving.md.",
                err=True,
            )
        elif settings.token is None:
            typer.echo("Whoever reaches this port can use it: there is no token.", err=True)

    serve(settings, pipeline, config, on_listening=tell)


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"--token-file: can't read {file}: {error}") from error
