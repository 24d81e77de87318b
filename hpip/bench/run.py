# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmark: measures all workloads, and saves the report after each."""

from __future__ import annotations

import itertools
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from hpip.bench.contender import URL, Contender, Workload, check_backends, contenders
from hpip.bench.environment import environment, same_environment
from hpip.bench.figures import fill_peak_share
from hpip.bench.images import BenchImage, load_images, resized
from hpip.bench.measure import Job, WorkloadRun
from hpip.bench.peak import sgemm_gflops
from hpip.bench.predictions import ReferenceCache
from hpip.bench.record import FINAL_STATES, Report
from hpip.bench.settings import BenchSettings, parse_size
from hpip.bench.subject import find_subjects
from hpip.bench.watcher import Watcher
from hpip.common.system import available_cpus
from hpip.errors import InvalidInputError
from hpip.evaluation import load_dataset


class BenchRun:
    """Measures all workloads of the settings.

    The constructor validates the settings, models and images, before any contender starts.

    Args:
        settings: what to measure.
        watcher: receives the progress.
        save_to: path of the report, which is written after each workload; None saves nothing.
        resume: an interrupted report; its contenders are not measured again.

    Raises:
        InvalidInputError: a setting is invalid, or the report to resume has other images or
            another machine.
        ModelNotFoundError, ModelFormatError: a model is missing or damaged.
        DatasetError: the annotations can't be read.
    """

    def __init__(
        self,
        settings: BenchSettings,
        *,
        watcher: Watcher | None = None,
        save_to: Path | None = None,
        resume: Report | None = None,
    ) -> None:
        settings.check()
        self._settings = settings
        self._watcher = watcher or Watcher()
        self._save_to = save_to
        self._sizes: list[tuple[int, int] | None] = [parse_size(size) for size in settings.sizes]
        wants_models = bool(settings.models) or settings.url is None
        if wants_models:
            check_backends(settings.backends, has_paddlex=settings.paddlex_python is not None)
        subjects = find_subjects(settings.models) if wants_models else []
        self._subjects = {subject.name: subject for subject in subjects}
        self._groups = [*self._model_groups(), *self._url_groups()]
        self._images = load_images(settings.images, settings.most_images or None)
        self._dataset = None
        if settings.coco is not None and settings.coco_images is not None:
            dataset = load_dataset(settings.coco, max_images=settings.coco_limit or None)
            self._dataset = (dataset, Path(settings.coco_images))
        self.report = self._new_report()
        if resume is not None:
            self._take_over(resume)

    def run(self) -> Report:
        """Measure all workloads; after an exception, the report holds the results up to it.

        Raises:
            KeyboardInterrupt: the run was interrupted; the saved report is marked accordingly.
        """
        cache = ReferenceCache(self.report.environment, fresh=self._settings.fresh)
        self.report.interrupted = True
        with tempfile.TemporaryDirectory(prefix="hpip-bench-") as folder, _stopped_by_sigterm():
            scratch = Path(folder)
            sized = self._resized_images(scratch)
            for number, group in enumerate(self._groups, start=1):
                workload = group[0].workload
                if self._is_done(group):
                    continue
                self._watcher.workload(workload.title, number, len(self._groups))
                job = Job(
                    contenders=group,
                    subject=self._subjects.get(workload.model),
                    images=sized[workload.image_hw],
                    settings=self._settings,
                    dataset=self._dataset,
                    scratch=scratch,
                )
                self._measure(WorkloadRun(job, cache, self._watcher))
        self.report.interrupted = False
        self._save()
        return self.report

    def _measure(self, one: WorkloadRun) -> None:
        try:
            one.measure()
        finally:
            peaks = self.report.environment["sgemm_gflops"]
            for entry in one.entries:
                fill_peak_share(entry.row, peaks.get(str(entry.row.threads)))
                self.report.put(entry.row)
            done = {row.contender for row in one.load_rows}
            kept = [row for row in self.report.load_rows if row.contender not in done]
            self.report.load_rows = kept + one.load_rows
            self._save()

    def _save(self) -> None:
        if self._save_to is not None:
            self.report.save(self._save_to)

    def _model_groups(self) -> Iterator[list[Contender]]:
        settings = self._settings
        choices = itertools.product(
            self._subjects.values(),
            settings.batch_sizes,
            self._sizes or [None],
            settings.threads,
            settings.thresholds,
        )
        for subject, batch_size, image_hw, threads, threshold in choices:
            workload = Workload(
                model=subject.name,
                batch_size=batch_size,
                image_hw=image_hw,
                threads=threads or available_cpus(),
                threshold=None if threshold < 0 else threshold,
                model_dir=subject.model_dir,
            )
            yield contenders(workload, settings.backends, settings.devices, settings.precisions)

    def _url_groups(self) -> Iterator[list[Contender]]:
        settings = self._settings
        if settings.url is None:
            return
        for image_hw in self._sizes or [None]:
            for threshold in settings.thresholds:
                workload = Workload(
                    model=urlsplit(settings.url).netloc,
                    image_hw=image_hw,
                    threshold=None if threshold < 0 else threshold,
                )
                yield [Contender(workload, URL)]

    def _new_report(self) -> Report:
        facts = environment(self._settings.paddlex_python)
        threads = {count or available_cpus() for count in self._settings.threads}
        self._watcher.doing("measuring the throughput of matrix products")
        facts["sgemm_gflops"] = {str(count): sgemm_gflops(count) for count in sorted(threads)}
        return Report(
            created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            interrupted=True,
            settings=self._settings.to_json(),
            environment=facts,
            images=[image.to_json() for image in self._images],
        )

    def _resized_images(self, scratch: Path) -> dict[tuple[int, int] | None, list[BenchImage]]:
        sized: dict[tuple[int, int] | None, list[BenchImage]] = {None: self._images}
        for image_hw in filter(None, self._sizes):
            sized[image_hw] = resized(self._images, image_hw, scratch)
        return sized

    def _is_done(self, group: Sequence[Contender]) -> bool:
        rows = [self.report.row_of(contender) for contender in group]
        return all(row is not None and row.state in FINAL_STATES for row in rows)

    def _take_over(self, earlier: Report) -> None:
        if earlier.images != self.report.images:
            raise InvalidInputError(
                "resume: expected a report with the same images; received one with others."
                " Run without --resume."
            )
        if not same_environment(earlier.environment, self.report.environment):
            raise InvalidInputError(
                "resume: expected a report of this machine and software; received one of others."
                " Run without --resume."
            )
        self.report.created_utc = earlier.created_utc
        self.report.rows, self.report.load_rows = earlier.rows, earlier.load_rows


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that the results survive a time limit."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
