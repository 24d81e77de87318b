# SPDX-License-Identifier: Apache-2.0
"""Reads inputs in batches, yields their results in order, and reports the inputs that fail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hpip.common.timing import timed
from hpip.errors import FailedInputsError, describe_failure
from hpip.inputs.sources import Source, is_single, iter_sources
from hpip.results.result import InstanceSegResult

logger = logging.getLogger(__name__)

OnFailure: TypeAlias = Callable[[str, Exception], None]
Outcome: TypeAlias = tuple[Source, InstanceSegResult | Exception]


@dataclass(frozen=True)
class Batch:
    """Images that were read one after the other.

    Attributes:
        sources: the images, in input order.
        read_ms: for each image, the time to read and decode it.
    """

    sources: list[Source] = field(default_factory=list)
    read_ms: list[float] = field(default_factory=list)


SegmentBatches: TypeAlias = Callable[[Iterator[Batch]], Iterable[Outcome]]


class FailureReport:
    """Handles the failed inputs of one `predict` call.

    If the input is a single image, its error is raised. If there are several inputs, each failed
    one is logged, passed to `on_failure` and skipped; an error is raised at the end only if no
    input gave a result.

    Args:
        input: the input of the call, as the user gave it.
        on_failure: called with the name of each failed input and its error.
    """

    def __init__(self, input: Any, on_failure: OnFailure | None) -> None:
        self._is_single = is_single(input)
        self._on_failure = on_failure
        self._failures: list[tuple[str, Exception]] = []
        self._result_count = 0

    def add(self, name: str, error: Exception) -> None:
        """Record a failed input, or raise its error if it is the only input."""
        if self._is_single:
            raise error
        self._failures.append((name, error))
        logger.warning("skipped an input: %s", describe_failure(name, error))
        if self._on_failure is not None:
            self._on_failure(name, error)

    def results(self, outcomes: Iterable[Outcome]) -> Iterator[InstanceSegResult]:
        """Yield the results and record the errors.

        Raises:
            FailedInputsError: there were errors and not a single result.
        """
        for source, outcome in outcomes:
            if isinstance(outcome, InstanceSegResult):
                self._result_count += 1
                yield outcome
            else:
                self.add(source.name, outcome)
        if self._failures and not self._result_count:
            raise FailedInputsError(self._failures)


def predict_in_batches(
    input: Any,
    batch_size: int,
    segment_batches: SegmentBatches,
    on_failure: OnFailure | None = None,
) -> Iterator[InstanceSegResult]:
    """Yield one result per image, in input order; images are read as they are needed.

    Args:
        input: what `hpip.inputs.sources.iter_sources` accepts.
        batch_size: images per batch.
        segment_batches: returns the outcomes of all batches, in order.
        on_failure: see `FailureReport`.

    Raises:
        FailedInputsError: there are several inputs, and all of them failed.
    """
    report = FailureReport(input, on_failure)
    yield from report.results(segment_batches(_read_batches(input, batch_size, report)))


def _read_batches(input: Any, batch_size: int, report: FailureReport) -> Iterator[Batch]:
    """Read images in order, `batch_size` at a time; unreadable ones go to `report`."""
    batch = Batch()
    for source, read_ms in timed(iter_sources(input)):
        if source.error is not None:
            report.add(source.name, source.error)
            continue
        batch.sources.append(source)
        batch.read_ms.append(read_ms)
        if len(batch.sources) == batch_size:
            yield batch
            batch = Batch()
    if batch.sources:
        yield batch
