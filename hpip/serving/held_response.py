# SPDX-License-Identifier: Apache-2.0
"""Answers that count as held until their clients have taken them."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hpip.serving.bodies import BodyBudget


class HeldResponse(Response):
    """A response whose body is part of the server's budget until the client has it.

    Args:
        content: the body.
        budget: of the server.
        options: see `Response`.
    """

    def __init__(self, content: bytes, budget: BodyBudget, **options: Any) -> None:
        super().__init__(content, **options)
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI.

        Raises:
            RequestError: 503, the budget has no room for it.
        """
        del scope, receive
        size_bytes = len(self.body)
        self._budget.take(size_bytes)
        try:
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
            # uvicorn waits for what was sent before it sends more, be it nothing.
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._budget.give_back(size_bytes)
