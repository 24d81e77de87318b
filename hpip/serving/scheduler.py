# SPDX-License-Identifier: Apache-2.0
"""The queue of pictures and who works on them; everything runs in the front's event loop."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from hpip.serving.problems import RequestError
from hpip.serving.wire import Answer, AnswerOptions, Cancel, Picture

_MAX_ATTEMPTS = 2
_MOST_RETRY_AFTER_S = 60
_LATE = "The picture took too long; the worker that had it was ended."
_LOST = "The worker that had this picture died, and so did the one that tried it again."


@dataclass(eq=False)
class Job:
    """A picture from its admission to its answer."""

    picture: Picture
    future: asyncio.Future[Answer]
    queued_at: float
    handed_at: float = 0.0
    attempts: int = 0

    @property
    def queue_ms(self) -> float:
        """How long it waited for a worker."""
        return max(0.0, self.handed_at - self.queued_at) * 1e3


class Hands(Protocol):
    """A worker, as the scheduler sees it.

    Attributes:
        capacity: pictures that it may hold.
        jobs: those that it holds, by id.
    """

    capacity: int
    jobs: dict[int, Job]

    def send(self, record: Picture | Cancel) -> None:
        """Tell the worker something."""


class Scheduler:
    """Hands pictures to workers, first come, first served.

    A picture whose worker died is handed out once more, to a worker that holds nothing else and
    gets nothing else meanwhile: if the picture is what kills workers, it takes no other down.

    Args:
        max_queue: pictures that may wait for a worker.
    """

    def __init__(self, max_queue: int) -> None:
        self._max_queue = max_queue
        self._waiting: deque[Job] = deque()
        self._workers: list[Hands] = []
        self._ids = itertools.count()
        # How long a worker takes per picture, smoothed; for Retry-After only.
        self._pace_s = 1.0

    @property
    def queue_depth(self) -> int:
        """Pictures that wait for a worker."""
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        """Pictures that workers hold."""
        return sum(len(worker.jobs) for worker in self._workers)

    def submit(self, pictures: Sequence[tuple[bytes, str]], options: AnswerOptions) -> list[Job]:
        """Queue a request's pictures, all or none.

        Args:
            pictures: encoded pictures and what messages call them.
            options: the request's.

        Raises:
            RequestError: 503, the queue has no room for them.
        """
        free_places = sum(
            worker.capacity - len(worker.jobs) for worker in self._workers if _takes_more(worker)
        )
        if len(self._waiting) + len(pictures) - free_places > self._max_queue:
            raise RequestError(
                503,
                f"The queue is full: {len(self._waiting)} of at most {self._max_queue} pictures"
                " are waiting. Try again later.",
                self.retry_after_s(),
            )
        loop, now = asyncio.get_running_loop(), monotonic()
        jobs = [
            Job(Picture(next(self._ids), data, name, options), loop.create_future(), now)
            for data, name in pictures
        ]
        self._waiting.extend(jobs)
        self._hand_out()
        return jobs

    def cancel(self, jobs: Sequence[Job]) -> None:
        """Give up the pictures of `jobs` that have no answer; those not started are never run."""
        unanswered = {id(job) for job in jobs if job.future.cancelled() or job.future.cancel()}
        if not unanswered:
            return
        self._waiting = deque(job for job in self._waiting if id(job) not in unanswered)
        for worker in self._workers:
            for job in worker.jobs.values():
                if id(job) in unanswered:
                    worker.send(Cancel(job.picture.id))

    def add_worker(self, worker: Hands) -> None:
        """Let a worker that is ready take part."""
        self._workers.append(worker)
        self._hand_out()

    def finish(self, worker: Hands, answer: Answer) -> None:
        """Take a worker's answer and hand it the next picture."""
        job = worker.jobs.pop(answer.id)
        self._pace_s += 0.1 * (monotonic() - job.handed_at - self._pace_s)
        if not job.future.done():
            job.future.set_result(answer)
        self._hand_out()

    def remove_worker(self, worker: Hands) -> None:
        """A worker is gone: its pictures are tried once more, or answered with 502."""
        if worker in self._workers:
            self._workers.remove(worker)
        lost = [job for job in worker.jobs.values() if not job.future.done()]
        worker.jobs.clear()
        for job in lost:
            if job.attempts >= _MAX_ATTEMPTS:
                job.future.set_result(Answer(job.picture.id, 502, message=_LOST))
        self._waiting.extendleft(job for job in reversed(lost) if not job.future.done())
        self._hand_out()

    def give_up_late(self, worker: Hands, limit_s: float) -> bool:
        """Answer the pictures that a worker has held for too long with 502; whether there are any.

        The others that it holds are not to blame, and are tried again as if for the first time.
        """
        now = monotonic()
        late = [job for job in worker.jobs.values() if now - job.handed_at > limit_s]
        if not late:
            return False
        for job in worker.jobs.values():
            job.attempts -= 1
            job.handed_at = now  # so that this is done once
        for job in late:
            if not job.future.done():
                job.future.set_result(Answer(job.picture.id, 502, message=_LATE))
        return True

    def retry_after_s(self) -> int:
        """In how many seconds the queue will have moved."""
        places = sum(worker.capacity for worker in self._workers) or 1
        seconds = self._pace_s * (len(self._waiting) + 1) / places
        return max(1, min(_MOST_RETRY_AFTER_S, round(seconds)))

    def _hand_out(self) -> None:
        while self._waiting:
            worker = self._worker_for(self._waiting[0])
            if worker is None:
                return
            job = self._waiting.popleft()
            job.attempts += 1
            job.handed_at = monotonic()
            worker.jobs[job.picture.id] = job
            worker.send(job.picture)

    def _worker_for(self, job: Job) -> Hands | None:
        """The worker with the smallest share of its places taken, or None where nobody has one."""
        if job.attempts:
            return next((worker for worker in self._workers if not worker.jobs), None)
        free = [worker for worker in self._workers if _takes_more(worker)]
        return min(free, key=lambda worker: len(worker.jobs) / worker.capacity, default=None)


def _takes_more(worker: Hands) -> bool:
    has_second_try = any(job.attempts > 1 for job in worker.jobs.values())
    return len(worker.jobs) < worker.capacity and not has_second_try
