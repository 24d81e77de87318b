# SPDX-License-Identifier: Apache-2.0
"""Keeps worker processes alive and tells how they are."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from hpip.common.interpreter import child_command
from hpip.errors import BackendUnavailableError, HpipError
from hpip.inference.tuning.budget import without_tuning
from hpip.serving.scheduler import Job, Scheduler
from hpip.serving.wire import (
    Answer,
    Cancel,
    LoadFailed,
    LoadOrder,
    Picture,
    Progress,
    Ready,
    pack,
    read_record,
)

logger = logging.getLogger(__name__)

# Where this very package lies: a worker must not run another hpip that the user stands in.
# glibc raises its threshold for memory that goes back to the system to the size of what was freed
# last, up to 32 MB; after one large picture every other comes out of the arenas of six threads, and
# each new coincidence of large ones stays: 80 MB in 400 s of mixed load. 8 MB is above 1080p.
#
# With that, glibc gives an arena's top back as soon as 128 KB of it are free: every picture then
# faulted its pages in anew, which took as long as decoding it (12 ms of 1080p, 6 without).
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(8 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
_EXIT_GRACE_S = 10.0
_FIRST_BACKOFF_S, _MOST_BACKOFF_S = 0.1, 30.0
_HEALTHY_AFTER_S = 60.0
# A model that takes its process down so often before it was ever ready will not load.
_MOST_CRASHES = 3
_STDERR = 2


class WorkerProcess:
    """One place for a worker: its current process, what it holds and how it is.

    Attributes:
        index: number of the place, from 0.
        state: "waiting" for the first worker, "starting", what the worker reports, "ready",
            "restarting" or "stopped".
        share, detail: see `Progress`.
        restarts: processes that were replaced.
        capacity, jobs: see `Hands`.
    """

    def __init__(self, index: int, order: LoadOrder) -> None:
        self.index = index
        self.order = order
        self.state = "starting"
        self.share: float | None = None
        self.detail: str | None = None
        self.restarts = 0
        self.capacity = 0
        self.info: dict[str, str] = {}
        self.jobs: dict[int, Job] = {}
        self.process: asyncio.subprocess.Process | None = None
        self.reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def start(self, *, may_tune: bool) -> None:
        """Start a process and give it its order.

        Args:
            may_tune: otherwise it takes what tuning knows already.
        """
        environment = {**_ALLOCATOR, "HPIP_LOG": "info", **os.environ}
        # OpenCV then holds the size that its own decoders read to the limit, whatever was read of
        # the header before; before it allocates.
        environment["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(self.order.max_pixels)
        if not may_tune:
            environment |= without_tuning()
        command = child_command("hpip.serving.worker")
        if command is None:
            raise BackendUnavailableError(
                "hpip serve",
                "this application has no Python interpreter to start worker processes with.",
                "Start `hpip serve` with Python.",
            )
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = await asyncio.create_subprocess_exec(
                *command,
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                # Engines chat on stdout, which is the access log's.
                stdout=_STDERR,
            )
        self.reader, self._writer = await asyncio.open_connection(sock=ours)
        self._writer.write(pack(self.order))

    def send(self, record: Picture | Cancel) -> None:
        """See `Hands.send`."""
        if self._writer is None:
            return
        self._writer.write(pack(record))

    def kill(self) -> None:
        """End the process at once."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()

    async def end(self, grace_s: float) -> int:
        """Close the connection, which ends the process; its exit code.

        Args:
            grace_s: after so long it is killed.
        """
        if self._writer is not None:
            self._writer.close()
        process = self.process
        if process is None:
            return 0
        try:
            return await asyncio.wait_for(process.wait(), grace_s)
        except asyncio.TimeoutError:
            process.kill()
            return await process.wait()


class Supervisor:
    """Starts workers, replaces those that die, and kills those that hang.

    Args:
        orders: what each worker loads.
        scheduler: is told which workers there are.
        stall_s: a worker that has held a picture for so long is killed.
        on_broken: called with the reason when no worker could load the model from the start.
    """

    def __init__(
        self,
        orders: Sequence[LoadOrder],
        scheduler: Scheduler,
        *,
        stall_s: float,
        on_broken: Callable[[HpipError], None],
    ) -> None:
        self.workers = [WorkerProcess(i, order) for i, order in enumerate(orders)]
        self._scheduler = scheduler
        self._stall_s = stall_s
        self._on_broken = on_broken
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._first_ready = asyncio.Event()
        self._tuned_devices: set[str | None] = set()

    def start(self) -> None:
        """Start all workers; returns before they are ready."""
        self._tasks = [asyncio.create_task(self._keep(worker)) for worker in self.workers]
        self._tasks.append(asyncio.create_task(self._watch()))

    async def stop(self, grace_s: float) -> None:
        """End all workers, busy or not, and kill those that have not ended after `grace_s`."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.end(grace_s) for worker in self.workers))
        for worker in self.workers:
            worker.state = "stopped"

    def status(self) -> dict[str, Any]:
        """For /health/ready: the state of all, and of each worker."""
        ready = sum(worker.state == "ready" for worker in self.workers)
        shares = [worker.share for worker in self.workers if worker.share is not None]
        return {
            "state": "ready" if ready else self.workers[0].state,
            "progress": 1.0 if ready else (min(shares) if shares else None),
            "detail": None if ready else self.workers[0].detail,
            "readyWorkers": ready,
            "workers": [
                {
                    "index": worker.index,
                    "state": worker.state,
                    "progress": 1.0 if worker.state == "ready" else worker.share,
                    "detail": worker.detail,
                    "restarts": worker.restarts,
                    "pictures": len(worker.jobs),
                    "capacity": worker.capacity,
                }
                for worker in self.workers
            ],
        }

    @property
    def has_been_ready(self) -> bool:
        """Whether a worker has ever taken pictures: whether the model is all right."""
        return self._first_ready.is_set()

    @property
    def is_ready(self) -> bool:
        """Whether at least one worker takes pictures."""
        return any(worker.state == "ready" for worker in self.workers)

    async def _keep(self, worker: WorkerProcess) -> None:
        backoff_s = _FIRST_BACKOFF_S
        if worker.index > 0:
            # What the first one downloads, checks and tunes, the others then find in the cache.
            worker.state = "waiting"
            await self._first_ready.wait()
        while True:
            started_at = monotonic()
            load_failure, reason = await self._run_once(worker)
            if not self.has_been_ready and (load_failure or worker.restarts >= _MOST_CRASHES):
                worker.state = "failed"
                self._on_broken(HpipError(reason))
                return
            logger.error("worker %d ended: %s; it is replaced", worker.index, reason)
            worker.restarts += 1
            if monotonic() - started_at > _HEALTHY_AFTER_S:
                backoff_s = _FIRST_BACKOFF_S
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _MOST_BACKOFF_S)

    async def _run_once(self, worker: WorkerProcess) -> tuple[bool, str]:
        """One process from its start to its end: whether it could not load, and what happened."""
        failure = None
        try:
            # Tuning that has not ended goes on when the server is started again, and not while a
            # replacement is waited for; and workers of one device all run the same engine.
            device = worker.order.pipeline.get("device")
            await worker.start(may_tune=device not in self._tuned_devices)
            failure = await self._serve(worker)
        except Exception as error:
            # Whatever it is (no more processes, say), the place must be filled again.
            logger.exception("worker %d can't be run", worker.index)
            worker.kill()
            failure = f"it can't be run: {error}"
        worker.state, worker.share, worker.detail = "restarting", None, None
        self._scheduler.remove_worker(worker)
        code = await worker.end(_EXIT_GRACE_S)
        if failure is not None:
            return True, failure
        return False, f"the worker process died with exit code {code}"

    async def _serve(self, worker: WorkerProcess) -> str | None:
        """Read the worker's records until it is gone; why it could not load, if that was it."""
        assert worker.reader is not None
        while (record := await read_record(worker.reader)) is not None:
            if isinstance(record, Answer):
                self._scheduler.finish(worker, record)
            elif isinstance(record, Progress):
                worker.state, worker.share = record.state, record.share
                worker.detail = record.detail
            elif isinstance(record, Ready):
                worker.state, worker.share, worker.detail = "ready", None, None
                worker.capacity, worker.info = record.capacity, record.info
                self._first_ready.set()
                self._tuned_devices.add(worker.order.pipeline.get("device"))
                logger.info("worker %d is ready", worker.index)
                self._scheduler.add_worker(worker)
            elif isinstance(record, LoadFailed):
                return record.reason
        return None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self._stall_s / 4))
            for worker in self.workers:
                # Each picture has its own time: others may go on while one holds a thread.
                if self._scheduler.give_up_late(worker, self._stall_s):
                    logger.error(
                        "worker %d has held a picture for %g s; it is killed",
                        worker.index,
                        self._stall_s,
                    )
                    worker.kill()
