# SPDX-License-Identifier: Apache-2.0
"""One request's way from its body to its answer."""

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

from hpip.serving.bodies import Asked, BodyBudget, BodyReader, parse_body, wait_for_disconnect
from hpip.serving.held_response import HeldResponse
from hpip.serving.metrics import Metrics
from hpip.serving.problems import RequestError
from hpip.serving.rendering import MEDIA_TYPES, encode_failure, encode_success
from hpip.serving.scheduler import Job, Scheduler
from hpip.serving.schemas import SegmentRequest
from hpip.serving.settings import ServingSettings
from hpip.serving.supervisor import Supervisor
from hpip.serving.urls import UrlFetcher
from hpip.serving.wire import Answer, AnswerOptions, Encoding


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
        """Refuse a request without the bearer token, where there is one.

        Raises:
            RequestError: 401.
        """
        if self.settings.token is None:
            return
        scheme, _, received = request.headers.get("authorization", "").partition(" ")
        expected = self.settings.token.get_secret_value()
        # In constant time, so that the time of an answer tells nothing about the token.
        same = hmac.compare_digest(received.strip().encode(), expected.encode())
        if scheme.lower() != "bearer" or not same:
            raise RequestError(
                401, "Expected the header 'Authorization: Bearer TOKEN' with this server's token."
            )

    async def segment(self, request: Request) -> Response:
        """Answer a request for instances.

        Raises:
            RequestError: every failure of it.
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
            asked = await parse_body(body, request.headers, settings.max_images)
            del body
            stages_ms["parse"] = (perf_counter() - received) * 1e3
            if asked.fields.logId is not None:
                request.state.log["logId"] = asked.fields.logId
            options = self._options(asked.fields, request)
            answers = await self._unless_gone(request, self._answers(asked, options))
        return self._respond(request, answers, options, several=asked.several, times=stages_ms)

    def _check_started(self) -> None:
        if not self.supervisor.has_been_ready:
            state = self.supervisor.status()["state"]
            raise RequestError(503, f"The model is not ready yet; it is {state}.", 5)

    def _options(self, fields: SegmentRequest, request: Request) -> AnswerOptions:
        visualize = self.settings.visualize if fields.visualize is None else fields.visualize
        wants_msgpack = "msgpack" in request.headers.get("accept", "")
        encoding: Encoding = "msgpack" if wants_msgpack else "json"
        return AnswerOptions(fields.threshold, visualize, fields.maskFormat, encoding)

    async def _unless_gone(
        self, request: Request, answering: Coroutine[Any, Any, list[Answer]]
    ) -> list[Answer]:
        """Wait for the answers, but neither too long nor for a client that has left."""
        working = asyncio.create_task(answering)
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
            raise RequestError(504, f"There was no answer within {limit_s:g} s.")
        finally:
            for task in (working, gone):
                task.cancel()
            await asyncio.gather(working, gone, return_exceptions=True)

    async def _answers(self, asked: Asked, options: AnswerOptions) -> list[Answer]:
        """One answer per picture; of several pictures, a bad one takes no other down."""
        loaded = await asyncio.gather(
            *(self._load(picture) for picture in asked.pictures), return_exceptions=True
        )
        pictures, failures = [], {}
        for index, data in enumerate(loaded):
            if isinstance(data, bytes):
                pictures.append((data, f"images[{index}]" if asked.several else "image"))
            elif isinstance(data, RequestError) and asked.several:
                failures[index] = Answer(-1, data.status, message=data.message)
            else:
                raise data
        jobs = self.scheduler.submit(pictures, options)
        try:
            await asyncio.gather(*(job.future for job in jobs))
        finally:
            self.scheduler.cancel(jobs)
        done = (_with_queue_time(job) for job in jobs)
        return [failures[i] if i in failures else next(done) for i in range(len(loaded))]

    async def _load(self, picture: bytes | str) -> bytes:
        return await self.fetcher.fetch(picture) if isinstance(picture, str) else picture

    def _respond(
        self,
        request: Request,
        answers: Sequence[Answer],
        options: AnswerOptions,
        *,
        several: bool,
        times: dict[str, float],
    ) -> Response:
        for answer in answers:
            self.metrics.pictures.labels(str(answer.status)).inc()
            if answer.status == 200:
                self.metrics.observe_stages(answer.stages_ms)
                self.metrics.batch_size.observe(answer.batch_size)
        self.metrics.observe_stages(times)
        if not several and answers[0].status != 200:
            raise RequestError(answers[0].status, answers[0].message)
        parts = [
            answer.body
            if answer.status == 200
            else encode_failure(answer.status, answer.message, options.encoding)
            for answer in answers
        ]
        log = request.state.log
        content = encode_success(log["logId"], parts, options, several=several)
        total = Counter(times)
        for answer in answers:
            total.update(answer.stages_ms)
        log["stagesMs"] = {stage: round(ms, 2) for stage, ms in total.items()}
        timing = ", ".join(f"{stage};dur={ms:.2f}" for stage, ms in total.items())
        return HeldResponse(
            content,
            self.budget,
            media_type=MEDIA_TYPES[options.encoding],
            headers={"Server-Timing": timing},
        )


def _with_queue_time(job: Job) -> Answer:
    answer = job.future.result()
    return replace(answer, stages_ms={"queue": job.queue_ms, **answer.stages_ms})
