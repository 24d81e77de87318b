# SPDX-License-Identifier: Apache-2.0
"""Writes one line of JSON per request, and updates the metrics."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from time import perf_counter
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hpip.serving.metrics import Metrics

logger = logging.getLogger("hpip.serving.access")

_ROUTES = frozenset(
    {"/instance-segmentation", "/health", "/health/ready", "/metrics", "/docs", "/openapi.json"}
)
# Probes and scrapers request these every few seconds.
_QUIET_ROUTES = frozenset({"/health", "/health/ready", "/metrics"})


class AccessLog:
    """ASGI middleware that logs every request with its status and latency.

    Handlers add fields to the dict `request.state.log`: `logId`, `error`, `stagesMs`.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        entry: dict[str, Any] = {}
        scope.setdefault("state", {})["log"] = entry
        status, sent_bytes = 500, 0

        async def watch(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent_bytes += len(message.get("body", b""))
            await send(message)

        with self._metrics.open_requests.track_inprogress():
            try:
                await self._app(scope, receive, watch)
            finally:
                seconds = perf_counter() - start
                self._record(scope, status, sent_bytes, seconds, entry)

    def _record(
        self, scope: Scope, status: int, sent_bytes: int, seconds: float, entry: dict[str, Any]
    ) -> None:
        path = scope["path"].rstrip("/") or "/"
        # Not the path itself: a client that requests random paths would create a time series of
        # each.
        route = path if path in _ROUTES else "other"
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        if route in _QUIET_ROUTES:
            return
        client = scope.get("client")
        line = {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "logId": entry.pop("logId", None),
            "client": client[0] if client else None,
            "method": scope["method"],
            "path": path[:200],
            "status": status,
            "ms": round(seconds * 1e3, 2),
            "bytes": sent_bytes,
            **entry,
        }
        logger.info("%s", orjson.dumps(line).decode())
