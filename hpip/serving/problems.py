# SPDX-License-Identifier: Apache-2.0
"""Errors of requests, and their HTTP responses."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response


class RequestError(Exception):
    """Ends a request with an HTTP status and a message for the client.

    Attributes:
        status: HTTP status.
        message: what failed, what was expected and what to do; without the server's own paths and
            addresses.
        retry_after_s: value of the header `Retry-After`; None for no header.
        log_id: the request's own id, if it was read before the request failed.
    """

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s
        self.log_id: str | None = None
        super().__init__(message)


def log_id_of(request: Request) -> str:
    """Return the id of a request in the log and in the response."""
    log: dict[str, Any] = request.state.log
    return str(log.setdefault("logId", str(uuid.uuid4())))


def json_response(
    status: int, content: dict[str, Any], headers: dict[str, str] | None = None
) -> Response:
    """Create a JSON response."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def failure_response(
    request: Request, status: int, message: str, headers: dict[str, str] | None = None
) -> Response:
    """Create the response to a failed request."""
    request.state.log["error"] = message[:500]
    content = {"logId": log_id_of(request), "errorCode": status, "errorMsg": message}
    return json_response(status, content, headers)
