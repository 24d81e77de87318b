# SPDX-License-Identifier: Apache-2.0
"""Measures the contenders of one workload against each other."""

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
from hpip.bench.images import Picture
from hpip.bench.loads import load_tests
from hpip.bench.process import ContenderError
from hpip.bench.record import (
    GOOD_STATES,
    INTERRUPTED,
    MEASURED,
    OUTPUT_STAGES,
    LoadRow,
    Row,
)
from hpip.bench.reference_answers import Memory
from hpip.bench.settings import BenchSettings
from hpip.bench.stats import median_interval, percentile
from hpip.bench.subject import Subject
from hpip.bench.verify import Verifier
from hpip.bench.watcher import Watcher
from hpip.errors import HpipError
from hpip.evaluation import CocoDataset

_OUTPUT_PICTURES = 3
# A round may take longer than the budget; one alone would tell nothing about noise.
_ROUNDS_AT_ANY_PRICE = 3


@dataclass(frozen=True)
class Job:
    """What the contenders of one workload are measured with.

    Attributes:
        contenders: all of the same workload.
        subject: the model; None for a service.
        pictures: the images, at the workload's size.
        settings: the run's.
        dataset: for AP, with the folder of its images; or None.
        scratch: folder for what is made on the way.
    """

    contenders: Sequence[Contender]
    subject: Subject | None
    pictures: Sequence[Picture]
    settings: BenchSettings
    dataset: tuple[CocoDataset, Path] | None
    scratch: Path


class WorkloadRun:
    """Contenders of one workload, from their start to their rows.

    Attributes:
        entries: the contenders with their rows.
        load_rows: what the load tests gave.
    """

    def __init__(self, job: Job, memory: Memory, watcher: Watcher) -> None:
        self.entries = [
            Entry(one, Row.of(one), job.settings, watcher.doing) for one in job.contenders
        ]
        self.load_rows: list[LoadRow] = []
        self._job = job
        self._memory = memory
        self._watcher = watcher
        self._verifier = (
            None
            if job.subject is None
            else Verifier(job.subject, job.pictures, memory, job.scratch)
        )

    def measure(self) -> None:
        """Everything; when interrupted, rows keep what there is and are marked."""
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
        self._remember()

    def _running(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.process is not None]

    def _start(self) -> None:
        for entry in self.entries:
            self._recall(entry)
            if self._job.subject is not None:
                fill_facts(entry.row, self._job.subject)
            if entry.row.remembered is None:
                entry.start(self._job.subject, self._batch(0), self._job.scratch)

    def _batch(self, number: int) -> list[str]:
        """The images of call `number`: each call begins where the last one ended."""
        size = self._job.contenders[0].workload.batch_size
        pictures = self._job.pictures
        return [str(pictures[(number * size + i) % len(pictures)].path) for i in range(size)]

    def _run_rounds(self) -> None:
        """A, B, A, B, ...: each round, every contender makes one call with the same images."""
        settings = self._job.settings
        for entry in self._running():
            entry.say("warming up")
            for number in range(settings.warmup):
                self._call(entry, number, timed=False)
        self._watcher.doing("rounds")
        chance = random.Random(0)
        start = time.monotonic()
        for number in itertools.count():
            running = self._running()
            if not running:
                return
            # In a new order each time: nobody always comes after the same other, who has left his
            # traces in the caches. Engines' threads spin on after a call: they come to rest first.
            for entry in chance.sample(running, len(running)):
                time.sleep(settings.rest_s)
                self._call(entry, number, timed=True)
            spent_s = time.monotonic() - start
            widths = {
                entry.contender.label: median_interval(entry.wall_ms).relative_width
                for entry in self._running()
            }
            self._watcher.round(number + 1, widths, spent_s, settings.budget_s)
            sure = max(widths.values(), default=0.0) <= settings.width
            if sure and number + 1 >= settings.least_rounds:
                return
            if spent_s >= settings.budget_s and number + 1 >= _ROUNDS_AT_ANY_PRICE:
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
        """What is measured after the clock for the table has stopped; then the process ends."""
        try:
            if entry.contender.backend == URL:
                # The memory is the service's, which is not here.
                entry.row.loaded_rss_bytes = None
            else:
                entry.row.peak_rss_bytes = entry.ask("memory")["peak_rss_bytes"]
                self._measure_output(entry)
            if entry.contender.backend not in PADDLEX:
                self.load_rows += load_tests(entry, self._job.pictures)
            if self._job.dataset is not None and self._job.subject is not None:
                fill_average_precision(entry, self._job.subject, *self._job.dataset)
        except ContenderError:
            return
        except HpipError as error:
            entry.row.error = f"no AP: {error}"
        entry.close()

    def _measure_output(self, entry: Entry) -> None:
        entry.say("drawing and encoding")
        replies = [
            entry.ask("output", image=str(picture.path))
            for picture in self._job.pictures[:_OUTPUT_PICTURES]
        ]
        for stage in OUTPUT_STAGES:
            known = [reply[stage] for reply in replies if reply[stage] is not None]
            setattr(entry.row, stage, percentile(known, 50) if known else None)

    def _recall(self, entry: Entry) -> None:
        """Take a slow reference's times from an earlier run on this machine."""
        if not entry.is_reference or self._verifier is None:
            return
        for name, value in (self._memory.times(self._times_key(entry)) or {}).items():
            setattr(entry.row, name, value)

    def _remember(self) -> None:
        slow_ms = self._job.settings.slow_s * 1e3
        for entry in self.entries:
            row = entry.row
            if not entry.is_reference or row.state != MEASURED or row.remembered is not None:
                continue
            if row.p50_ms is not None and row.p50_ms >= slow_ms:
                today = time.strftime("%Y-%m-%d", time.gmtime())
                kept = {k: v for k, v in vars(row).items() if not k.startswith("speedup")}
                self._memory.keep_times(self._times_key(entry), {**kept, "remembered": today})

    def _times_key(self, entry: Entry) -> list[str]:
        assert self._verifier is not None
        return self._verifier.key(f"{entry.contender.label}; {entry.contender.workload.title}")
