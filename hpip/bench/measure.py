# SPDX-License-Identifier: Apache-2.0
"""Measures the contenders of one workload in interleaved rounds."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpip.bench.coco import fill_average_precision
from hpip.bench.contender import PADDLEX, URL, Contender
from hpip.bench.entry import Entry
from hpip.bench.environment import device_memory_bytes
from hpip.bench.figures import fill_facts, fill_speedups, fill_times
from hpip.bench.images import BenchImage
from hpip.bench.loads import load_tests
from hpip.bench.predictions import ReferenceCache
from hpip.bench.process import ContenderError
from hpip.bench.record import (
    GOOD_STATES,
    INTERRUPTED,
    MEASURED,
    OUTPUT_STAGES,
    LoadRow,
    Row,
)
from hpip.bench.settings import BenchSettings
from hpip.bench.stats import median_interval, percentile
from hpip.bench.subject import Subject
from hpip.bench.verify import Verifier
from hpip.bench.watcher import Watcher
from hpip.errors import HpipError
from hpip.evaluation import CocoDataset

_OUTPUT_IMAGES = 3
# The minimum even if one round exceeds the budget: a single call says nothing about noise.
_MIN_ROUNDS = 3


@dataclass(frozen=True)
class Job:
    """The inputs of the measurement of one workload.

    Attributes:
        contenders: all of the same workload.
        subject: the model; None for a service.
        images: at the workload's size.
        settings: settings of the run.
        dataset: for AP, with the root folder of its images; or None.
        scratch: folder for temporary files.
    """

    contenders: Sequence[Contender]
    subject: Subject | None
    images: Sequence[BenchImage]
    settings: BenchSettings
    dataset: tuple[CocoDataset, Path] | None
    scratch: Path


class WorkloadRun:
    """Measures the contenders of one workload.

    Attributes:
        entries: the contenders with their rows.
        load_rows: results of the load tests.
    """

    def __init__(self, job: Job, cache: ReferenceCache, watcher: Watcher) -> None:
        self.entries = [
            Entry(one, Row.of(one), job.settings, watcher.doing) for one in job.contenders
        ]
        self.load_rows: list[LoadRow] = []
        self._job = job
        self._cache = cache
        self._watcher = watcher
        self._verifier = (
            None if job.subject is None else Verifier(job.subject, job.images, cache, job.scratch)
        )

    def measure(self) -> None:
        """Validate and measure all contenders; after an interrupt the rows hold what there is."""
        try:
            if self._verifier is not None:
                self._verifier.prepare(self.entries)
            self._start()
            if self._verifier is not None:
                self._verifier.check(self._running())
            self._run_rounds()
            for entry in self._running():
                self._finish(entry)
        except BaseException:
            for entry in self.entries:
                if entry.row.state in GOOD_STATES and not entry.row.remembered:
                    entry.row.state = INTERRUPTED
            raise
        finally:
            for entry in self.entries:
                entry.close()
                if entry.samples and entry.row.state in (*GOOD_STATES, INTERRUPTED):
                    fill_times(entry.row, entry.samples)
            fill_speedups(self.entries)
            for entry in self.entries:
                self._watcher.finished(entry.row)
        self._store_slow()

    def _running(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.process is not None]

    def _start(self) -> None:
        for entry in self.entries:
            self._load_cached(entry)
            if self._job.subject is not None:
                fill_facts(entry.row, self._job.subject)
            if entry.row.remembered is None:
                entry.start(self._job.subject, self._batch(0), self._job.scratch)

    def _batch(self, number: int) -> list[str]:
        """Paths of the images of call `number`; calls cycle through all images."""
        size = self._job.contenders[0].workload.batch_size
        images = self._job.images
        return [str(images[(number * size + i) % len(images)].path) for i in range(size)]

    def _run_rounds(self) -> None:
        """Interleave the contenders: each makes one call per round, with the same images."""
        settings = self._job.settings
        for entry in self._running():
            entry.say("warming up")
            for number in range(settings.warmup):
                self._call(entry, number, timed=False)
        self._watcher.doing("rounds")
        rng = random.Random(0)
        start = time.monotonic()
        for number in itertools.count():
            running = self._running()
            if not running:
                return
            # A random order, so that no contender always runs after the same other one, which
            # leaves the CPU caches in a certain state. The pause is for threads that spin on.
            for entry in rng.sample(running, len(running)):
                time.sleep(settings.rest_s)
                self._call(entry, number, timed=True)
            spent_s = time.monotonic() - start
            widths = {
                entry.contender.label: median_interval(entry.wall_ms).relative_width
                for entry in self._running()
            }
            self._watcher.round(number + 1, widths, spent_s, settings.budget_s)
            precise = max(widths.values(), default=0.0) <= settings.width
            if precise and number + 1 >= settings.least_rounds:
                return
            if spent_s >= settings.budget_s and number + 1 >= _MIN_ROUNDS:
                return

    def _call(self, entry: Entry, number: int, *, timed: bool) -> None:
        if entry.process is None:
            return
        try:
            sample = entry.ask("run", images=self._batch(number))
        except ContenderError:
            return
        if timed:
            entry.samples.append(sample)
        if entry.contender.device != "cpu":
            used = device_memory_bytes({entry.process.pid})
            held = entry.row.device_memory_bytes
            entry.row.device_memory_bytes = max(filter(None, (used, held)), default=None)

    def _finish(self, entry: Entry) -> None:
        """Measure memory, output, load and AP after the rounds, and close the contender."""
        try:
            if entry.contender.backend == URL:
                # The memory of the service is unknown; this would be the client's.
                entry.row.loaded_rss_bytes = None
            else:
                entry.row.peak_rss_bytes = entry.ask("memory")["peak_rss_bytes"]
                self._measure_output(entry)
            if entry.contender.backend not in PADDLEX:
                self.load_rows += load_tests(entry, self._job.images)
            if self._job.dataset is not None and self._job.subject is not None:
                fill_average_precision(entry, self._job.subject, *self._job.dataset)
        except ContenderError:
            return
        except HpipError as error:
            entry.row.error = f"AP could not be computed: {error}"
        entry.close()

    def _measure_output(self, entry: Entry) -> None:
        entry.say("drawing and encoding")
        replies = [
            entry.ask("output", image=str(image.path))
            for image in self._job.images[:_OUTPUT_IMAGES]
        ]
        for stage in OUTPUT_STAGES:
            known = [reply[stage] for reply in replies if reply[stage] is not None]
            setattr(entry.row, stage, percentile(known, 50) if known else None)

    def _load_cached(self, entry: Entry) -> None:
        """Take a slow reference's results from the cache of earlier runs on this machine."""
        if not entry.is_reference or self._verifier is None:
            return
        for name, value in (self._cache.times(self._times_key(entry)) or {}).items():
            setattr(entry.row, name, value)

    def _store_slow(self) -> None:
        slow_ms = self._job.settings.slow_s * 1e3
        for entry in self.entries:
            row = entry.row
            if not entry.is_reference or row.state != MEASURED or row.remembered is not None:
                continue
            if row.p50_ms is not None and row.p50_ms >= slow_ms:
                today = time.strftime("%Y-%m-%d", time.gmtime())
                kept = {k: v for k, v in vars(row).items() if not k.startswith("speedup")}
                self._cache.store_times(self._times_key(entry), {**kept, "remembered": today})

    def _times_key(self, entry: Entry) -> list[str]:
        assert self._verifier is not None
        return self._verifier.key(f"{entry.contender.label}; {entry.contender.workload.title}")
