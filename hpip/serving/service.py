# SPDX-License-Identifier: Apache-2.0
"""Processes a request from its body to its response."""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hpip.serving.bodies import (
    BodyBudget,
    BodyReader,
    ParsedRequest,
    parse_body,
    wait_for_disconnect,
)
from hpip.serving.budgeted_response import BudgetedResponse
from hpip.serving.metrics import Metrics
from hpip.serving.problems import RequestError
from hpip.serving.rendering import MEDIA_TYPES, encode_failure, encode_success
from hpip.serving.scheduler import ImageJob, Scheduler
from hpip.serving.schemas import SegmentRequest
from hpip.serving.settings import ServingSettings
from hpip.serving.supervisor import Supervisor
from hpip.serving.urls import UrlFetcher
from hpip.serving.wire import Encoding, ImageResponse, ResponseOptions


@dataclass(frozen=True)
class Service:
    """The parts of a running server."""

    settings: ServingSettings
    scheduler: Scheduler
    supervisor: Supervisor
    metrics: Metrics
    budget: BodyBudget
    fetcher: UrlFetcher

    def check_token(self, request: Request) -> None:
        """Check the bearer token, if the server has one.

        Raises:
            RequestError: 401, if the token is missing or wrong.
        """
        if self.settings.token is None:
            return
        scheme, _, received = request.headers.get("authorization", "").partition(" ")
        expected = self.settings.token.get_secret_value()
        # In constant time, so that the latency reveals nothing about the token.
        same = hmac.compare_digest(received.strip().encode(), expected.encode())
        if scheme.lower() != "bearer" or not same:
            raise RequestError(
                401,
                "Authorization: expected 'Bearer TOKEN' with this server's token; the header is"
                " missing or the token is wrong.",
            )

    async def segment(self, request: Request) -> Response:
        """Segment the images of a request.

        Raises:
            RequestError: the request failed.
        """
        self.check_token(request)
        self._check_started()
        settings, stages_ms = self.settings, {}
        start = perf_counter()
        reader = BodyReader(request, self.budget, settings.max_body_bytes, settings.body_timeout_s)
        with reader:
            body = await reader.read()
            received = perf_counter()
            stages_ms["receive"] = (received - start) * 1e3
            parsed = await parse_body(body, request.headers, settings.max_images)
            del body
            stages_ms["parse"] = (perf_counter() - received) * 1e3
            if parsed.fields.logId is not None:
                request.state.log["logId"] = parsed.fields.logId
            options = self._options(parsed.fields, request)
            responses = await self._unless_gone(request, self._image_responses(parsed, options))
        return self._respond(request, responses, options, several=parsed.several, times=stages_ms)

    def _check_started(self) -> None:
        if not self.supervisor.has_been_ready:
            state = self.supervisor.status()["state"]
            raise RequestError(
                503, f"The model is not ready yet (state: {state}). Try again later.", 5
            )

    def _options(self, fields: SegmentRequest, request: Request) -> ResponseOptions:
        visualize = self.settings.visualize if fields.visualize is None else fields.visualize
        wants_msgpack = "msgpack" in request.headers.get("accept", "")
        encoding: Encoding = "msgpack" if wants_msgpack else "json"
        return ResponseOptions(fields.threshold, visualize, fields.maskFormat, encoding)

    async def _unless_gone(
        self, request: Request, work: Coroutine[Any, Any, list[ImageResponse]]
    ) -> list[ImageResponse]:
        """Wait for the responses until the timeout, or until the client disconnects."""
        working = asyncio.create_task(work)
        gone = asyncio.create_task(wait_for_disconnect(request.receive))
        limit_s = self.settings.request_timeout_s
        try:
            await asyncio.wait(
                {working, gone}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
            )
            if working.done():
                return working.result()
            if gone.done():
                raise RequestError(499, "The client closed the connection.")
            raise RequestError(504, f"The request timed out after {limit_s:g} s.")
        finally:
            for task in (working, gone):
                task.cancel()
            await asyncio.gather(working, gone, return_exceptions=True)

    async def _image_responses(
        self, parsed: ParsedRequest, options: ResponseOptions
    ) -> list[ImageResponse]:
        """Return one response per image; if there are several, an invalid one fails alone."""
        loaded = await asyncio.gather(
            *(self._load(image) for image in parsed.images), return_exceptions=True
        )
        images, failures = [], {}
        for index, data in enumerate(loaded):
            if isinstance(data, bytes):
                images.append((data, f"images[{index}]" if parsed.several else "image"))
            elif isinstance(data, RequestError) and parsed.several:
                failures[index] = ImageResponse(-1, data.status, message=data.message)
            else:
                raise data
        jobs = self.scheduler.submit(images, options)
        try:
            await asyncio.gather(*(job.future for job in jobs))
        finally:
            self.scheduler.cancel(jobs)
        done = (_with_queue_time(job) for job in jobs)
        return [failures[i] if i in failures else next(done) for i in range(len(loaded))]

    async def _load(self, image: bytes | str) -> bytes:
        return await self.fetcher.fetch(image) if isinstance(image, str) else image

    def _respond(
        self,
        request: Request,
        responses: Sequence[ImageResponse],
        options: ResponseOptions,
        *,
        several: bool,
        times: dict[str, float],
    ) -> Response:
        for response in responses:
            self.metrics.images.labels(str(response.status)).inc()
            if response.status == 200:
                self.metrics.observe_stages(response.stages_ms)
                self.metrics.batch_size.observe(response.batch_size)
        self.metrics.observe_stages(times)
        if not several and responses[0].status != 200:
            raise RequestError(responses[0].status, responses[0].message)
        parts = [
            response.body
            if response.status == 200
            else encode_failure(response.status, response.message, options.encoding)
            for response in responses
        ]
        log = request.state.log
        content = encode_success(log["logId"], parts, options, several=several)
        total = Counter(times)
        for response in responses:
            total.update(response.stages_ms)
        log["stagesMs"] = {stage: round(ms, 2) for stage, ms in total.items()}
        timing = ", ".join(f"{stage};dur={ms:.2f}" for stage, ms in total.items())
        return BudgetedResponse(
            content,
            self.budget,
            media_type=MEDIA_TYPES[options.encoding],
            headers={"Server-Timing": timing},
        )


def _with_queue_time(job: ImageJob) -> ImageResponse:
    response = job.future.result()
    return replace(response, stages_ms={"queue": job.queue_ms, **response.stages_ms})
