# SPDX-License-Identifier: Apache-2.0
"""Validates contenders against plain Paddle, and closes those whose predictions differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hpip.bench.contender import PADDLEX, PLAIN, Contender
from hpip.bench.entry import Entry
from hpip.bench.images import BenchImage
from hpip.bench.predictions import ContenderPrediction, ReferenceCache, compare_predictions
from hpip.bench.process import ContenderError
from hpip.bench.record import DIFFERS, UNVERIFIED, WRONG, Row
from hpip.bench.subject import Subject
from hpip.inference.tuning.gates import GATES

_VIOLATIONS_SHOWN = 3


class Verifier:
    """Compares the predictions of contenders with plain Paddle's, for one workload.

    Args:
        subject: the model.
        images: the images to compare predictions on.
        cache: of plain Paddle's predictions.
        scratch: folder for temporary files.
    """

    def __init__(
        self, subject: Subject, images: Sequence[BenchImage], cache: ReferenceCache, scratch: Path
    ) -> None:
        self._subject = subject
        self._paths = [image.path for image in images]
        self._digests = [image.digest for image in images]
        self._cache = cache
        self._scratch = scratch
        self._known: list[ContenderPrediction] | None = None
        # Plain Paddle can't run a bundle.
        self._has_failed = subject.spec.bundle is not None

    def prepare(self, entries: Sequence[Entry]) -> None:
        """Compute plain Paddle's predictions before the contenders start, unless it is one of them.

        The original graph may need more memory than another process leaves free.
        """
        if entries and not any(_is_plain(entry.contender) for entry in entries):
            self._references(entries)

    def check(self, entries: Sequence[Entry]) -> None:
        """Validate the running contenders, and close those of hpip whose predictions differ.

        Stock PaddleX is what users have, so it is timed all the same, and its row tells the
        difference: it resizes with OpenCV, which rounds differently from one processor to another.
        If plain Paddle itself can't run the workload, the rows are marked as unverified.
        """
        others = [entry for entry in entries if not _is_plain(entry.contender)]
        if not others:
            return
        references = self._references(entries)
        for entry in others:
            if references is None:
                entry.row.state = UNVERIFIED
                continue
            try:
                predictions = entry.predict(self._paths)
            except ContenderError:
                continue
            if violations := self._violations(references, predictions, entry):
                told = "; ".join(violations[:_VIOLATIONS_SHOWN])
                more = len(violations) - _VIOLATIONS_SHOWN
                entry.row.error = told + (f"; and {more} more" if more > 0 else "")
                if entry.contender.backend in PADDLEX:
                    entry.row.state = DIFFERS
                else:
                    entry.row.state = WRONG
                    entry.close()

    def _violations(
        self,
        references: Sequence[ContenderPrediction],
        predictions: Sequence[ContenderPrediction],
        entry: Entry,
    ) -> list[str]:
        """Violations of the tolerance of the contender's precision."""
        threshold = entry.contender.workload.threshold
        return compare_predictions(
            references,
            predictions,
            self._subject.spec.score_threshold if threshold is None else threshold,
            GATES[entry.contender.precision],
            entry.row,
        )

    def key(self, workload_title: str) -> list[str]:
        """Cache key of plain Paddle's predictions."""
        return [self._subject.name, self._subject.digest, workload_title, *self._digests]

    def _references(self, entries: Sequence[Entry]) -> list[ContenderPrediction] | None:
        """Plain Paddle's predictions: from the cache, its running process, or a new process."""
        model = entries[0]
        workload = replace(model.contender.workload, batch_size=1)
        key = self.key(f"threshold {workload.threshold}")
        known = self._known or self._cache.predictions(key)
        if known is not None or self._has_failed:
            return known
        running = next((entry for entry in entries if _is_plain(entry.contender)), None)
        plain = running or self._start_plain(Contender(workload, PLAIN), model)
        try:
            self._known = None if plain.process is None else plain.predict(self._paths)
        except ContenderError:
            self._known = None
        finally:
            if plain is not running:
                plain.close()
        self._has_failed = self._known is None
        if self._known is not None:
            self._cache.store_predictions(key, self._known)
        return self._known

    def _start_plain(self, contender: Contender, model: Entry) -> Entry:
        plain = Entry(contender, Row.of(contender), model.settings, model.doing)
        plain.start(self._subject, [str(self._paths[0])], self._scratch)
        return plain


def _is_plain(contender: Contender) -> bool:
    return contender.backend == PLAIN and contender.device == "cpu"
