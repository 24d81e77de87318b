# SPDX-License-Identifier: Apache-2.0
"""Responses that count toward the memory budget until they are sent."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hpip.serving.bodies import BodyBudget


class BudgetedResponse(Response):
    """A response whose body counts toward the server's memory budget until it is sent.

    Args:
        content: the body.
        budget: the server's.
        options: see `Response`.
    """

    def __init__(self, content: bytes, budget: BodyBudget, **options: Any) -> None:
        super().__init__(content, **options)
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI.

        Raises:
            RequestError: 503, if the budget is used up.
        """
        del scope, receive
        size_bytes = len(self.body)
        self._budget.take(size_bytes)
        try:
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
            # uvicorn sends this empty part only after the client has received the previous one.
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._budget.give_back(size_bytes)
