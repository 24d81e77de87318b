# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
from pydantic import ValidationError

from hpip.errors import InvalidInputError
from hpip.serving.batcher import Batcher
from hpip.serving.bodies import BodyBudget
from hpip.serving.problems import RequestError
from hpip.serving.scheduler import Job, Scheduler
from hpip.serving.settings import ServingSettings, make_settings
from hpip.serving.wire import Answer, AnswerOptions, Cancel, Picture

OPTIONS = AnswerOptions()


class _Hands:
    """A worker's place without a process: keeps what it is told."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.jobs: dict[int, Job] = {}
        self.told: list[Picture | Cancel] = []

    def send(self, record: Picture | Cancel) -> None:
        self.told.append(record)


def _run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def _submit(scheduler: Scheduler, count: int) -> list[Job]:
    return scheduler.submit([(b"x", str(i)) for i in range(count)], OPTIONS)


def test_pictures_go_to_the_worker_with_the_smallest_share() -> None:
    async def work() -> None:
        scheduler, small, large = Scheduler(9), _Hands(1), _Hands(4)
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


def test_more_pictures_than_places_wait_when_workers_are_free() -> None:
    """Places in workers' hands do not count as waiting."""

    async def work() -> None:
        scheduler, hands = Scheduler(2), _Hands(3)
        scheduler.add_worker(hands)
        _submit(scheduler, 5)
        assert (scheduler.in_flight, scheduler.queue_depth) == (3, 2)
        with pytest.raises(RequestError):
            _submit(scheduler, 1)

    _run(work())


def test_lost_pictures_are_tried_again_first_and_alone() -> None:
    async def work() -> None:
        scheduler, dying, other = Scheduler(9), _Hands(2), _Hands(2)
        scheduler.add_worker(dying)
        first, second = _submit(scheduler, 2)
        third, *_ = _submit(scheduler, 1)
        scheduler.remove_worker(dying)
        scheduler.add_worker(other)
        assert list(other.jobs) == [first.picture.id]
        scheduler.finish(other, Answer(first.picture.id, 200))
        assert list(other.jobs) == [second.picture.id]
        scheduler.finish(other, Answer(second.picture.id, 200))
        assert list(other.jobs) == [third.picture.id]
        assert first.future.result().status == second.future.result().status == 200

    _run(work())


def test_a_picture_lost_twice_gets_502_and_takes_no_other_down() -> None:
    async def work() -> None:
        scheduler, places = Scheduler(9), [_Hands(2) for _ in range(3)]
        killer, innocent = _submit(scheduler, 2)
        for place in places[:2]:
            scheduler.add_worker(place)
            scheduler.remove_worker(place)
        scheduler.add_worker(places[2])
        assert killer.future.result().status == 502
        assert list(places[2].jobs) == [innocent.picture.id]

    _run(work())


def test_cancelled_pictures_leave_the_queue_and_workers_are_told() -> None:
    async def work() -> None:
        scheduler, hands = Scheduler(9), _Hands(1)
        scheduler.add_worker(hands)
        jobs = _submit(scheduler, 3)
        kept, *_ = _submit(scheduler, 1)
        scheduler.cancel(jobs)
        assert scheduler.queue_depth == 1
        assert hands.told[-1] == Cancel(jobs[0].picture.id)
        # The worker answers even so, and only then has a place again.
        scheduler.finish(hands, Answer(jobs[0].picture.id, 499))
        assert list(hands.jobs) == [kept.picture.id]

    _run(work())


def test_cancelled_pictures_of_a_lost_worker_are_not_tried_again() -> None:
    async def work() -> None:
        scheduler, hands = Scheduler(9), _Hands(1)
        scheduler.add_worker(hands)
        jobs = _submit(scheduler, 1)
        scheduler.cancel(jobs)
        scheduler.remove_worker(hands)
        assert scheduler.queue_depth == 0

    _run(work())


def test_a_picture_that_takes_too_long_is_answered_and_the_others_are_not_to_blame() -> None:
    async def work() -> None:
        scheduler, worker = Scheduler(9), _Hands(3)
        scheduler.add_worker(worker)
        late, on_time, left = _submit(scheduler, 3)
        late.handed_at -= 100
        left.handed_at -= 100
        scheduler.cancel([left])
        # Others are answered meanwhile; that is no excuse.
        assert not scheduler.give_up_late(worker, 200)
        assert scheduler.give_up_late(worker, 50)
        assert not scheduler.give_up_late(worker, 50)
        assert late.future.result().status == 502
        scheduler.remove_worker(worker)
        others = [_Hands(2), _Hands(2)]
        for other in others:
            scheduler.add_worker(other)
        assert (on_time.attempts, scheduler.in_flight) == (1, 1)
        _submit(scheduler, 3)
        assert scheduler.queue_depth == 0  # it is not tried alone

    _run(work())


def test_batches_hold_one_kind_in_order_and_no_more_than_allowed() -> None:
    batcher: Batcher[int] = Batcher(max_size=3, timeout_s=0)
    for kind, item in [("a", 1), ("b", 2), ("a", 3), ("a", 4), ("a", 5)]:
        batcher.put(kind, item)
    assert [batcher.take() for _ in range(3)] == [[1, 3, 4], [2], [5]]


def test_a_batch_waits_for_company_until_it_is_full() -> None:
    batcher: Batcher[int] = Batcher(max_size=2, timeout_s=30)
    taken: list[list[int]] = []
    reader = threading.Thread(target=lambda: taken.append(batcher.take()))
    batcher.put("a", 1)
    reader.start()
    batcher.put("b", 2)
    batcher.put("a", 3)
    reader.join(20)
    assert taken == [[1, 3]]


def test_a_lonely_picture_goes_when_its_time_is_up() -> None:
    batcher: Batcher[int] = Batcher(max_size=2, timeout_s=0.01)
    batcher.put("a", 1)
    assert batcher.take() == [1]


def test_every_item_is_taken_once_by_many_readers() -> None:
    batcher: Batcher[int] = Batcher(max_size=4, timeout_s=0.001)
    taken: list[int] = []
    readers = [
        threading.Thread(target=lambda: [taken.extend(batcher.take()) for _ in range(500)])
        for _ in range(3)
    ]
    for reader in readers:
        reader.daemon = True
        reader.start()
    for item in range(1200):
        batcher.put(item % 3, item)
    for reader in readers:
        reader.join(0.5)
    assert sorted(taken) == list(range(1200))


def test_budget_is_given_back() -> None:
    budget = BodyBudget(10)
    budget.take(6)
    with pytest.raises(RequestError, match="bodies"):
        budget.take(5)
    budget.give_back(6)
    budget.take(10)


def test_flags_win_over_the_serving_section() -> None:
    settings = make_settings(
        {"visualize": False, "port": 9000, "extra": {"x": 1}}, {"port": 9001, "host": None}
    )
    assert (settings.visualize, settings.port, settings.host) == (False, 9001, "127.0.0.1")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"visualise": True}, "visualise"),
        ({"port": 70_000}, "port"),
        ({"max_queue": 0}, "max_queue"),
        ({"return_urls": True}, "return_urls"),
        ({"token": " "}, "token"),
    ],
)
def test_bad_serving_sections_are_refused(section: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make_settings(section, {})


def test_settings_keep_the_token_to_themselves() -> None:
    settings = ServingSettings(token="secret-word")
    assert "secret-word" not in repr(settings)
    with pytest.raises(InvalidInputError) as caught:
        make_settings({}, {"token": ["secret-word"]})
    assert "secret-word" not in str(caught.value)
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]
