# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a request, as HTTP says it."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response


class RequestError(Exception):
    """Ends a request with a status and a message for its client.

    Attributes:
        status: HTTP's.
        message: what is wrong, what was expected, what to do; free of paths and addresses of ours.
        retry_after_s: when to come again; None says nothing about it.
        log_id: the request's own id, where it was read before the request failed.
    """

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s
        self.log_id: str | None = None
        super().__init__(message)


def log_id_of(request: Request) -> str:
    """The id under which the request is logged and answered."""
    log: dict[str, Any] = request.state.log
    return str(log.setdefault("logId", str(uuid.uuid4())))


def json_response(
    status: int, content: dict[str, Any], headers: dict[str, str] | None = None
) -> Response:
    """An answer of JSON."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def failure_response(
    request: Request, status: int, message: str, headers: dict[str, str] | None = None
) -> Response:
    """The one form of every answer that is not a success."""
    request.state.log["error"] = message[:500]
    content = {"logId": log_id_of(request), "errorCode": status, "errorMsg": message}
    return json_response(status, content, headers)
