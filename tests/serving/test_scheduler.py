# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from hpip.serving.problems import RequestError
from hpip.serving.scheduler import ImageJob, Scheduler
from hpip.serving.wire import Cancel, ImageRequest, ImageResponse, ResponseOptions

OPTIONS = ResponseOptions()


class _FakeWorker:
    """A worker's place without a process: keeps what it is told."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.jobs: dict[int, ImageJob] = {}
        self.told: list[ImageRequest | Cancel] = []

    def send(self, record: ImageRequest | Cancel) -> None:
        self.told.append(record)


def _run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def _submit(scheduler: Scheduler, count: int) -> list[ImageJob]:
    return scheduler.submit([(b"x", str(i)) for i in range(count)], OPTIONS)


def test_images_go_to_the_worker_with_the_smallest_share() -> None:
    async def work() -> None:
        scheduler, small, large = Scheduler(9), _FakeWorker(1), _FakeWorker(4)
        scheduler.add_worker(small)
        scheduler.add_worker(large)
        _submit(scheduler, 6)
        assert (len(small.jobs), len(large.jobs)) == (1, 4)
        assert (scheduler.queue_depth, scheduler.in_flight) == (1, 5)

    _run(work())


def test_a_request_is_queued_whole_or_not_at_all() -> None:
    async def work() -> None:
        scheduler = Scheduler(2)
        _submit(scheduler, 1)
        with pytest.raises(RequestError) as caught:
            _submit(scheduler, 2)
        assert (caught.value.status, scheduler.queue_depth) == (503, 1)
        assert caught.value.retry_after_s is not None
        assert caught.value.retry_after_s >= 1

    _run(work())


def test_more_images_than_places_wait_when_workers_are_free() -> None:
    """Places in workers' worker do not count as waiting."""

    async def work() -> None:
        scheduler, worker = Scheduler(2), _FakeWorker(3)
        scheduler.add_worker(worker)
        _submit(scheduler, 5)
        assert (scheduler.in_flight, scheduler.queue_depth) == (3, 2)
        with pytest.raises(RequestError):
            _submit(scheduler, 1)

    _run(work())


def test_lost_images_are_tried_again_first_and_alone() -> None:
    async def work() -> None:
        scheduler, dying, other = Scheduler(9), _FakeWorker(2), _FakeWorker(2)
        scheduler.add_worker(dying)
        first, second = _submit(scheduler, 2)
        third, *_ = _submit(scheduler, 1)
        scheduler.remove_worker(dying)
        scheduler.add_worker(other)
        assert list(other.jobs) == [first.request.id]
        scheduler.finish(other, ImageResponse(first.request.id, 200))
        assert list(other.jobs) == [second.request.id]
        scheduler.finish(other, ImageResponse(second.request.id, 200))
        assert list(other.jobs) == [third.request.id]
        assert first.future.result().status == second.future.result().status == 200

    _run(work())


def test_an_image_lost_twice_gets_502_and_takes_no_other_down() -> None:
    async def work() -> None:
        scheduler, places = Scheduler(9), [_FakeWorker(2) for _ in range(3)]
        killer, innocent = _submit(scheduler, 2)
        for place in places[:2]:
            scheduler.add_worker(place)
            scheduler.remove_worker(place)
        scheduler.add_worker(places[2])
        assert killer.future.result().status == 502
        assert list(places[2].jobs) == [innocent.request.id]

    _run(work())


def test_cancelled_images_leave_the_queue_and_workers_are_told() -> None:
    async def work() -> None:
        scheduler, worker = Scheduler(9), _FakeWorker(1)
        scheduler.add_worker(worker)
        jobs = _submit(scheduler, 3)
        kept, *_ = _submit(scheduler, 1)
        scheduler.cancel(jobs)
        assert scheduler.queue_depth == 1
        assert worker.told[-1] == Cancel(jobs[0].request.id)
        # The worker answers even so, and only then has a place again.
        scheduler.finish(worker, ImageResponse(jobs[0].request.id, 499))
        assert list(worker.jobs) == [kept.request.id]

    _run(work())


def test_cancelled_images_of_a_lost_worker_are_not_tried_again() -> None:
    async def work() -> None:
        scheduler, worker = Scheduler(9), _FakeWorker(1)
        scheduler.add_worker(worker)
        jobs = _submit(scheduler, 1)
        scheduler.cancel(jobs)
        scheduler.remove_worker(worker)
        assert scheduler.queue_depth == 0

    _run(work())


def test_an_image_that_takes_too_long_is_answered_and_the_others_are_not_to_blame() -> None:
    async def work() -> None:
        scheduler, worker = Scheduler(9), _FakeWorker(3)
        scheduler.add_worker(worker)
        late, on_time, left = _submit(scheduler, 3)
        late.sent_at -= 100
        left.sent_at -= 100
        scheduler.cancel([left])
        # Others are answered meanwhile; that is no excuse.
        assert not scheduler.time_out_images(worker, 200)
        assert scheduler.time_out_images(worker, 50)
        assert not scheduler.time_out_images(worker, 50)
        assert late.future.result().status == 502
        scheduler.remove_worker(worker)
        others = [_FakeWorker(2), _FakeWorker(2)]
        for other in others:
            scheduler.add_worker(other)
        assert (on_time.attempts, scheduler.in_flight) == (1, 1)
        _submit(scheduler, 3)
        assert scheduler.queue_depth == 0  # it is not tried alone

    _run(work())
