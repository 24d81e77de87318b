# SPDX-License-Identifier: Apache-2.0
"""Starts, monitors and restarts worker processes."""

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
from hpip.serving.scheduler import ImageJob, Scheduler
from hpip.serving.wire import (
    Cancel,
    ImageRequest,
    ImageResponse,
    LoadFailed,
    Progress,
    Ready,
    WorkerConfig,
    pack,
    read_record,
)

logger = logging.getLogger(__name__)

# glibc raises its mmap threshold to the size of the last freed block, up to 32 MB. After one large
# image, all others come from the arenas of six threads, whose peaks are never returned: memory grew
# by 80 MB in 400 s of mixed load. 8 MB is above a 1080p image.
#
# With a fixed mmap threshold, glibc trims an arena as soon as 128 KB at its top are free. Every
# image then faulted its pages in again, which took as long as decoding it (1080p: 12 ms instead of
# 6), hence the higher trim threshold.
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(8 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
_EXIT_GRACE_S = 10.0
_FIRST_BACKOFF_S, _MAX_BACKOFF_S = 0.1, 30.0
_HEALTHY_AFTER_S = 60.0
# If the process crashes so often before it was ever ready, the model can't be loaded.
_MAX_CRASHES = 3
_STDERR = 2


class WorkerProcess:
    """A worker: its current process, its images and its state.

    Attributes:
        index: number of the worker, from 0.
        state: "waiting" (for the first worker), "starting", a state that the worker reports (see
            `Progress`), "ready", "restarting", "failed" or "stopped".
        share, detail: see `Progress`.
        restarts: number of restarts of the process.
        capacity, jobs: see `WorkerHandle`.
    """

    def __init__(self, index: int, config: WorkerConfig) -> None:
        self.index = index
        self.config = config
        self.state = "starting"
        self.share: float | None = None
        self.detail: str | None = None
        self.restarts = 0
        self.capacity = 0
        self.info: dict[str, str] = {}
        self.jobs: dict[int, ImageJob] = {}
        self.process: asyncio.subprocess.Process | None = None
        self.reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def start(self, *, may_tune: bool) -> None:
        """Start a process and send it its config.

        Args:
            may_tune: whether the worker may tune; otherwise it uses the cached results of tuning.
        """
        environment = {**_ALLOCATOR, "HPIP_LOG": "info", **os.environ}
        # OpenCV then checks the size that its own decoder reads, before it allocates memory.
        environment["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(self.config.max_pixels)
        if not may_tune:
            environment |= without_tuning()
        command = child_command("hpip.serving.worker")
        if command is None:
            raise BackendUnavailableError(
                "hpip serve",
                "this application contains no Python interpreter that can start worker processes.",
                "Run `hpip serve` in a Python installation.",
            )
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = await asyncio.create_subprocess_exec(
                *command,
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                # Engines write messages to stdout, which is for the access log only.
                stdout=_STDERR,
            )
        self.reader, self._writer = await asyncio.open_connection(sock=ours)
        self._writer.write(pack(self.config))

    def send(self, record: ImageRequest | Cancel) -> None:
        """See `WorkerHandle.send`."""
        if self._writer is None:
            return
        self._writer.write(pack(record))

    def kill(self) -> None:
        """Kill the process."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()

    async def end(self, grace_s: float) -> int:
        """Close the connection, so that the process exits.

        Args:
            grace_s: time after which the process is killed.

        Returns:
            The exit code.
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
    """Starts workers, restarts those that crash, and kills those that hang.

    Args:
        worker_configs: what each worker loads.
        scheduler: sends images to the workers that are ready.
        stall_s: maximum time that an image may be in a worker before the worker is killed.
        on_broken: called with the reason if no worker can load the model.
    """

    def __init__(
        self,
        worker_configs: Sequence[WorkerConfig],
        scheduler: Scheduler,
        *,
        stall_s: float,
        on_broken: Callable[[HpipError], None],
    ) -> None:
        self.workers = [WorkerProcess(i, config) for i, config in enumerate(worker_configs)]
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
        """Stop all workers, even busy ones, and kill those that still run after `grace_s`."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.end(grace_s) for worker in self.workers))
        for worker in self.workers:
            worker.state = "stopped"

    def status(self) -> dict[str, Any]:
        """Return the state of the server and of each worker, for /health/ready."""
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
        """Whether any worker has ever been ready, which shows that the model can be loaded."""
        return self._first_ready.is_set()

    @property
    def is_ready(self) -> bool:
        """Whether at least one worker is ready."""
        return any(worker.state == "ready" for worker in self.workers)

    async def _keep(self, worker: WorkerProcess) -> None:
        backoff_s = _FIRST_BACKOFF_S
        if worker.index > 0:
            # The first worker downloads, checks and tunes the model; the others use its cache.
            worker.state = "waiting"
            await self._first_ready.wait()
        while True:
            started_at = monotonic()
            load_failure, reason = await self._run_once(worker)
            if not self.has_been_ready and (load_failure or worker.restarts >= _MAX_CRASHES):
                worker.state = "failed"
                self._on_broken(HpipError(reason))
                return
            logger.error("worker %d stopped: %s; hpip restarts it", worker.index, reason)
            worker.restarts += 1
            if monotonic() - started_at > _HEALTHY_AFTER_S:
                backoff_s = _FIRST_BACKOFF_S
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _MAX_BACKOFF_S)

    async def _run_once(self, worker: WorkerProcess) -> tuple[bool, str]:
        """Run one process until it exits.

        Returns:
            Whether it failed to load the model, and why it exited.
        """
        failure = None
        try:
            # Only the first worker of a device tunes, so that all of them run the same engine, and
            # a restart is not delayed. Unfinished tuning continues at the next start of the server.
            device = worker.config.pipeline.get("device")
            await worker.start(may_tune=device not in self._tuned_devices)
            failure = await self._serve(worker)
        except Exception as error:
            # Whatever the reason (such as a limit of processes), the worker must be restarted.
            logger.exception("worker %d can't run", worker.index)
            worker.kill()
            failure = f"the worker process can't run: {error}"
        worker.state, worker.share, worker.detail = "restarting", None, None
        self._scheduler.remove_worker(worker)
        code = await worker.end(_EXIT_GRACE_S)
        if failure is not None:
            return True, failure
        return False, f"the worker process exited with code {code}"

    async def _serve(self, worker: WorkerProcess) -> str | None:
        """Process the worker's records until it exits.

        Returns:
            The reason if it could not load the model; None otherwise.
        """
        assert worker.reader is not None
        while (record := await read_record(worker.reader)) is not None:
            if isinstance(record, ImageResponse):
                self._scheduler.finish(worker, record)
            elif isinstance(record, Progress):
                worker.state, worker.share = record.state, record.share
                worker.detail = record.detail
            elif isinstance(record, Ready):
                worker.state, worker.share, worker.detail = "ready", None, None
                worker.capacity, worker.info = record.capacity, record.info
                self._first_ready.set()
                self._tuned_devices.add(worker.config.pipeline.get("device"))
                logger.info("worker %d is ready", worker.index)
                self._scheduler.add_worker(worker)
            elif isinstance(record, LoadFailed):
                return record.reason
        return None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self._stall_s / 4))
            for worker in self.workers:
                # The time is per image: others may finish while one blocks a thread.
                if self._scheduler.time_out_images(worker, self._stall_s):
                    logger.error(
                        "worker %d has not finished an image within %g s; hpip kills it",
                        worker.index,
                        self._stall_s,
                    )
                    worker.kill()
