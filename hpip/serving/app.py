# SPDX-License-Identifier: Apache-2.0
"""The routes of the server, and its error responses."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import Response

from hpip._core import __version__
from hpip.errors import HpipError
from hpip.serving.access_log import AccessLog
from hpip.serving.bodies import BodyBudget
from hpip.serving.gate import Gate
from hpip.serving.metrics import Metrics
from hpip.serving.problems import (
    RequestError,
    failure_response,
    json_response,
    log_id_of,
)
from hpip.serving.scheduler import Scheduler
from hpip.serving.schemas import Failure, SegmentAnswer, request_body_docs
from hpip.serving.service import Service
from hpip.serving.settings import ServingSettings
from hpip.serving.static_page import add_page
from hpip.serving.supervisor import Supervisor
from hpip.serving.urls import UrlFetcher
from hpip.serving.wire import WorkerConfig

logger = logging.getLogger(__name__)

# A worker that has held an image for this multiple of the request timeout is considered hung.
_STALL_TIMEOUTS = 2.0
_FAILURES: dict[int | str, dict[str, Any]] = {
    401: {"model": Failure, "description": "The bearer token is missing or wrong."},
    403: {
        "model": Failure,
        "description": "URL input is disabled, or the Host or Origin header is not allowed.",
    },
    408: {"model": Failure, "description": "The body did not arrive in time."},
    413: {"model": Failure, "description": "The body is too large."},
    415: {"model": Failure, "description": "The content type or encoding is not supported."},
    422: {"model": Failure, "description": "The request or an image in it is invalid."},
    500: {"model": Failure, "description": "The model failed on this image."},
    502: {"model": Failure, "description": "Two workers crashed on this image, or one timed out."},
    503: {"model": Failure, "description": "The queue is full, or the model is not ready."},
    504: {"model": Failure, "description": "The request timed out."},
}


def create_app(
    settings: ServingSettings,
    worker_configs: Sequence[WorkerConfig],
    *,
    on_broken: Callable[[HpipError], None],
) -> FastAPI:
    """Create the application; its lifespan starts and stops the workers.

    Args:
        settings: limits and defaults.
        worker_configs: what each worker loads.
        on_broken: called with the reason if no worker can load the model.
    """
    scheduler = Scheduler(settings.max_queue)
    supervisor = Supervisor(
        worker_configs,
        scheduler,
        stall_s=_STALL_TIMEOUTS * settings.request_timeout_s,
        on_broken=on_broken,
    )
    metrics = Metrics()
    metrics.watch(scheduler, supervisor)
    service = Service(
        settings,
        scheduler,
        supervisor,
        metrics,
        BodyBudget(settings.max_buffered_bytes),
        UrlFetcher(settings),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        supervisor.start()
        yield
        service.fetcher.close()
        # A healthy worker exits at once.
        await supervisor.stop(min(10.0, 0.05 * settings.shutdown_timeout_s))

    app = FastAPI(
        title="hpip instance segmentation",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(Gate, settings=settings)
    app.add_middleware(AccessLog, metrics=metrics)
    app.add_exception_handler(RequestError, _respond_to_request_error)
    app.add_exception_handler(HTTPException, _respond_to_http_error)
    app.add_exception_handler(Exception, _respond_to_crash)
    _add_routes(app, service)
    add_page(app)
    return app


def _add_routes(app: FastAPI, service: Service) -> None:
    @app.post(
        "/instance-segmentation",
        response_model=SegmentAnswer,
        responses=_FAILURES,
        openapi_extra={"requestBody": request_body_docs()},
        summary="Segment the instances in one or more images",
    )
    async def segment(request: Request) -> Response:
        request.state.log["logId"] = str(uuid.uuid4())
        return await service.segment(request)

    @app.options("/instance-segmentation", include_in_schema=False)
    async def allowed_methods() -> Response:
        return Response(headers={"Allow": "OPTIONS, POST"})

    @app.head("/health", include_in_schema=False)
    @app.get("/health", summary="Liveness: 200 while the server runs")
    async def health(request: Request) -> Response:
        return json_response(
            200, {"logId": log_id_of(request), "errorCode": 0, "errorMsg": "Healthy"}
        )

    @app.head("/health/ready", include_in_schema=False)
    @app.get("/health/ready", summary="Readiness: 200 while a worker is ready, else 503")
    async def ready(request: Request) -> Response:
        supervisor = service.supervisor
        status = 200 if supervisor.is_ready else 503
        state = supervisor.status()
        content = {
            "logId": log_id_of(request),
            "errorCode": 0 if status == 200 else status,
            "errorMsg": "Ready" if status == 200 else f"Not ready: {state['state']}",
            **state,
            "queueDepth": service.scheduler.queue_depth,
        }
        return json_response(status, content)

    @app.head("/metrics", include_in_schema=False)
    @app.get("/metrics", summary="Metrics in Prometheus's text format")
    async def metrics(request: Request) -> Response:
        service.check_token(request)
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _respond_to_request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    headers = {}
    if error.log_id is not None:
        request.state.log["logId"] = error.log_id
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == 408:
        # The server would read the next request as the rest of this body.
        headers["Connection"] = "close"
    return failure_response(request, error.status, error.message, headers)


async def _respond_to_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    return failure_response(request, error.status_code, str(error.detail), headers)


async def _respond_to_crash(request: Request, error: Exception) -> Response:
    logger.error("a request failed with an unexpected error", exc_info=error)
    return failure_response(request, 500, "Internal server error")
