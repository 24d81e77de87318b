# SPDX-License-Identifier: Apache-2.0
"""Runs a server until SIGINT or SIGTERM."""

from __future__ import annotations

import functools
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import uvicorn

from hpip.common.devices import parse_devices
from hpip.common.logs import set_up_logging
from hpip.common.system import available_cpus
from hpip.errors import HpipError, InvalidInputError
from hpip.inference.pipeline_file import PipelineConfig
from hpip.serving.app import create_app
from hpip.serving.log_lines import BackgroundHandler, log_in_background
from hpip.serving.protocol import BoundedHttpProtocol, ConnectionLimits
from hpip.serving.settings import ServingSettings
from hpip.serving.wire import WorkerConfig

_KEEP_ALIVE_S = 75
_BACKLOG = 2048


def serve(
    settings: ServingSettings,
    pipeline: Mapping[str, Any],
    config: PipelineConfig,
    *,
    on_listening: Callable[[str], None],
) -> None:
    """Serve a pipeline until SIGINT or SIGTERM, then finish the accepted requests.

    Args:
        settings: address, limits and defaults.
        pipeline: arguments of `create_pipeline`.
        config: the pipeline file; gives the device if `pipeline` has none.
        on_listening: called with the server's URL, while the model is still loading.

    Raises:
        InvalidInputError: the address is in use, or not an address of this machine.
        HpipError: no worker can load the model.
    """
    worker_configs = _worker_configs(settings, pipeline, config)
    set_up_logging(os.environ.get("HPIP_LOG") or "info")
    _set_up_access_log()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    log_in_background("hpip", "uvicorn", "asyncio")
    broken: list[HpipError] = []

    def stop(error: HpipError) -> None:
        broken.append(error)
        server.should_exit = True

    app = create_app(settings, worker_configs, on_broken=stop)
    limits = ConnectionLimits(settings.body_timeout_s, settings.answer_timeout_s)
    protocol: Any = functools.partial(BoundedHttpProtocol, limits=limits)
    server = _Server(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=settings.max_connections,
            timeout_keep_alive=_KEEP_ALIVE_S,
            # Annotated as int, but passed to asyncio. The rest of the time is for the workers.
            timeout_graceful_shutdown=0.9 * settings.shutdown_timeout_s,  # type: ignore[arg-type]
        ),
        settings.shutdown_timeout_s,
    )
    listener = _listen(settings.host, settings.port)
    on_listening(_url(listener))
    # uvicorn raises the signal again after the shutdown, when it must not end the process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[listener])
    if broken:
        raise broken[0]


class _Server(uvicorn.Server):
    """A server whose process exits within a time limit after the first signal, even if it hangs.

    Args:
        config: uvicorn's.
        limit_s: maximum time from the signal to the exit of the process.
    """

    def __init__(self, config: uvicorn.Config, limit_s: float) -> None:
        super().__init__(config)
        # Workers exit by themselves when this process does. It logs nothing, because the log's
        # stream may be what hangs.
        self._end = threading.Timer(limit_s, os._exit, (1,))
        self._end.daemon = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See uvicorn."""
        if self._end.ident is None:
            self._end.start()
        super().handle_exit(sig, frame)


def _worker_configs(
    settings: ServingSettings, pipeline: Mapping[str, Any], config: PipelineConfig
) -> list[WorkerConfig]:
    """Return a config per worker: devices are assigned in turn, and workers share the CPUs."""
    device = pipeline.get("device") or config.device
    devices = [str(one) for one in parse_devices(device)] if device else [None]
    count = settings.workers or len(devices)
    threads = pipeline.get("threads") or max(1, available_cpus() // count)
    return [
        WorkerConfig(
            {**pipeline, "device": devices[i % len(devices)], "threads": threads},
            settings.max_batch_size,
            settings.batch_timeout_ms,
            settings.max_pixels,
            settings.max_detections,
        )
        for i in range(count)
    ]


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # From here on, clients can connect; they get a response once the application runs.
        listener.listen(_BACKLOG)
    except OSError as error:
        raise InvalidInputError(
            f"can't listen on {host} port {port}: {error.strerror or error}. Choose another --host"
            " or --port, or stop the process that uses it."
        ) from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _set_up_access_log() -> None:
    """Write the access log to stdout as lines of JSON, independent of all other logging."""
    logger = logging.getLogger("hpip.serving.access")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handler = BackgroundHandler(1, lambda count: f'{{"lostLines":{count}}}')
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
