# SPDX-License-Identifier: Apache-2.0
"""The queue of images, and their assignment to workers.

Everything here runs in the event loop of the front process.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from hpip.serving.problems import RequestError
from hpip.serving.wire import Cancel, ImageRequest, ImageResponse, ResponseOptions

_MAX_ATTEMPTS = 2
_MAX_RETRY_AFTER_S = 60
_LATE = "The image took too long, and the server has stopped the worker that processed it."
_LOST = "Two workers in succession crashed while they processed this image."


@dataclass(eq=False)
class ImageJob:
    """An image from its admission to its response."""

    request: ImageRequest
    future: asyncio.Future[ImageResponse]
    queued_at: float
    sent_at: float = 0.0
    attempts: int = 0

    @property
    def queue_ms(self) -> float:
        """The time for which the image waited for a worker."""
        return max(0.0, self.sent_at - self.queued_at) * 1e3


class WorkerHandle(Protocol):
    """A worker as the scheduler sees it.

    Attributes:
        capacity: maximum number of images in the worker.
        jobs: the images in the worker, by id.
    """

    capacity: int
    jobs: dict[int, ImageJob]

    def send(self, record: ImageRequest | Cancel) -> None:
        """Send a record to the worker."""


class Scheduler:
    """Sends images to workers, first come, first served.

    If a worker crashes, each of its images is sent once more, to a worker that processes nothing
    else meanwhile: if that image causes the crash, no other image is lost with it.

    Args:
        max_queue: maximum number of images that wait for a worker.
    """

    def __init__(self, max_queue: int) -> None:
        self._max_queue = max_queue
        self._waiting: deque[ImageJob] = deque()
        self._workers: list[WorkerHandle] = []
        self._ids = itertools.count()
        # Smoothed latency of a worker per image; for Retry-After only.
        self._pace_s = 1.0

    @property
    def queue_depth(self) -> int:
        """Number of images that wait for a worker."""
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        """Number of images in workers."""
        return sum(len(worker.jobs) for worker in self._workers)

    def submit(
        self, images: Sequence[tuple[bytes, str]], options: ResponseOptions
    ) -> list[ImageJob]:
        """Queue all images of a request, or none.

        Args:
            images: encoded images, each with its name in error messages.
            options: the request's.

        Raises:
            RequestError: 503, if the queue has too little room.
        """
        free_places = sum(
            worker.capacity - len(worker.jobs) for worker in self._workers if _takes_more(worker)
        )
        if len(self._waiting) + len(images) - free_places > self._max_queue:
            raise RequestError(
                503,
                f"The queue is full: {len(self._waiting)} images are waiting (maximum:"
                f" {self._max_queue}). Try again later.",
                self.retry_after_s(),
            )
        loop, now = asyncio.get_running_loop(), monotonic()
        jobs = [
            ImageJob(ImageRequest(next(self._ids), data, name, options), loop.create_future(), now)
            for data, name in images
        ]
        self._waiting.extend(jobs)
        self._send_waiting()
        return jobs

    def cancel(self, jobs: Sequence[ImageJob]) -> None:
        """Cancel the images that have no response yet; those still in the queue never run."""
        cancelled = {id(job) for job in jobs if job.future.cancelled() or job.future.cancel()}
        if not cancelled:
            return
        self._waiting = deque(job for job in self._waiting if id(job) not in cancelled)
        for worker in self._workers:
            for job in worker.jobs.values():
                if id(job) in cancelled:
                    worker.send(Cancel(job.request.id))

    def add_worker(self, worker: WorkerHandle) -> None:
        """Start to send images to a worker that has become ready."""
        self._workers.append(worker)
        self._send_waiting()

    def finish(self, worker: WorkerHandle, response: ImageResponse) -> None:
        """Pass on a worker's response, and send it the next image."""
        job = worker.jobs.pop(response.id)
        self._pace_s += 0.1 * (monotonic() - job.sent_at - self._pace_s)
        if not job.future.done():
            job.future.set_result(response)
        self._send_waiting()

    def remove_worker(self, worker: WorkerHandle) -> None:
        """Remove a worker that has exited; its images are sent again, or get status 502."""
        if worker in self._workers:
            self._workers.remove(worker)
        lost = [job for job in worker.jobs.values() if not job.future.done()]
        worker.jobs.clear()
        for job in lost:
            if job.attempts >= _MAX_ATTEMPTS:
                job.future.set_result(ImageResponse(job.request.id, 502, message=_LOST))
        self._waiting.extendleft(job for job in reversed(lost) if not job.future.done())
        self._send_waiting()

    def time_out_images(self, worker: WorkerHandle, limit_s: float) -> bool:
        """Respond with 502 to the images that have been in a worker for longer than `limit_s`.

        The other images in the worker did not cause this, so their attempts count anew.

        Returns:
            Whether there were any such images.
        """
        now = monotonic()
        late = [job for job in worker.jobs.values() if now - job.sent_at > limit_s]
        if not late:
            return False
        for job in worker.jobs.values():
            job.attempts -= 1
            job.sent_at = now  # so that the next call does not find them again
        for job in late:
            if not job.future.done():
                job.future.set_result(ImageResponse(job.request.id, 502, message=_LATE))
        return True

    def retry_after_s(self) -> int:
        """Estimate the seconds until the queue has room again."""
        places = sum(worker.capacity for worker in self._workers) or 1
        seconds = self._pace_s * (len(self._waiting) + 1) / places
        return max(1, min(_MAX_RETRY_AFTER_S, round(seconds)))

    def _send_waiting(self) -> None:
        while self._waiting:
            worker = self._worker_for(self._waiting[0])
            if worker is None:
                return
            job = self._waiting.popleft()
            job.attempts += 1
            job.sent_at = monotonic()
            worker.jobs[job.request.id] = job
            worker.send(job.request)

    def _worker_for(self, job: ImageJob) -> WorkerHandle | None:
        """Return the worker with the smallest share of used capacity, or None if all are full."""
        if job.attempts:
            return next((worker for worker in self._workers if not worker.jobs), None)
        free = [worker for worker in self._workers if _takes_more(worker)]
        return min(free, key=lambda worker: len(worker.jobs) / worker.capacity, default=None)


def _takes_more(worker: WorkerHandle) -> bool:
    has_second_try = any(job.attempts > 1 for job in worker.jobs.values())
    return len(worker.jobs) < worker.capacity and not has_second_try
