# SPDX-License-Identifier: Apache-2.0
"""Takes out contenders that give another answer than plain Paddle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hpip.bench.contender import PLAIN, Contender
from hpip.bench.entry import Entry
from hpip.bench.images import Picture
from hpip.bench.process import ContenderError
from hpip.bench.record import UNVERIFIED, WRONG, Row
from hpip.bench.reference_answers import Answer, Memory, compare_answers
from hpip.bench.subject import Subject
from hpip.inference.tuning.gates import GATES

_VIOLATIONS_TOLD = 3


class Verifier:
    """Knows plain Paddle's answers to one workload.

    Args:
        subject: the model.
        pictures: the images.
        memory: where plain Paddle's answers are remembered.
        scratch: folder for what is made on the way.
    """

    def __init__(
        self, subject: Subject, pictures: Sequence[Picture], memory: Memory, scratch: Path
    ) -> None:
        self._subject = subject
        self._paths = [picture.path for picture in pictures]
        self._digests = [picture.digest for picture in pictures]
        self._memory = memory
        self._scratch = scratch
        self._known: list[Answer] | None = None
        self._has_failed = False

    def prepare(self, entries: Sequence[Entry]) -> None:
        """Have plain Paddle answer before the contenders start, where it is none of them itself.

        Beside another process that runs the export there may be no memory left for it.
        """
        if entries and not any(_is_plain(entry.contender) for entry in entries):
            self._references(entries)

    def check(self, entries: Sequence[Entry]) -> None:
        """Compare every running contender's answers; only those that are right stay running.

        Where plain Paddle can't run the workload at all, rows are marked as unverified.
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
                answers = entry.answers(self._paths)
            except ContenderError:
                continue
            if violations := self._violations(references, answers, entry):
                told = "; ".join(violations[:_VIOLATIONS_TOLD])
                more = len(violations) - _VIOLATIONS_TOLD
                entry.row.error = told + (f"; and {more} more" if more > 0 else "")
                entry.row.state = WRONG
                entry.close()

    def _violations(
        self, references: Sequence[Answer], answers: Sequence[Answer], entry: Entry
    ) -> list[str]:
        """What breaks the gate of the contender's precision."""
        threshold = entry.contender.workload.threshold
        return compare_answers(
            references,
            answers,
            self._subject.spec.score_threshold if threshold is None else threshold,
            GATES[entry.contender.precision],
            entry.row,
        )

    def key(self, workload_title: str) -> list[str]:
        """What plain Paddle's answers depend on."""
        return [self._subject.name, self._subject.digest, workload_title, *self._digests]

    def _references(self, entries: Sequence[Entry]) -> list[Answer] | None:
        """Remembered, or from plain Paddle's process, or from one that is started for this."""
        model = entries[0]
        workload = replace(model.contender.workload, batch_size=1)
        key = self.key(f"threshold {workload.threshold}")
        known = self._known or self._memory.answers(key)
        if known is not None or self._has_failed:
            return known
        running = next((entry for entry in entries if _is_plain(entry.contender)), None)
        plain = running or self._start_plain(Contender(workload, PLAIN), model)
        try:
            self._known = None if plain.process is None else plain.answers(self._paths)
        except ContenderError:
            self._known = None
        finally:
            if plain is not running:
                plain.close()
        self._has_failed = self._known is None
        if self._known is not None:
            self._memory.keep_answers(key, self._known)
        return self._known

    def _start_plain(self, contender: Contender, model: Entry) -> Entry:
        plain = Entry(contender, Row.of(contender), model.settings, model.doing)
        plain.start(self._subject, [str(self._paths[0])], self._scratch)
        return plain


def _is_plain(contender: Contender) -> bool:
    return contender.backend == PLAIN and contender.device == "cpu"
