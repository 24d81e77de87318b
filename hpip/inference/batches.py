# SPDX-License-Identifier: Apache-2.0
"""Reads inputs in batches and keeps account of those that fail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

from hpip.common.timing import timed
from hpip.errors import FailedInputsError, describe_failure
from hpip.inputs.sources import Source, is_single, iter_sources
from hpip.results.result import InstanceSegResult

logger = logging.getLogger(__name__)

OnFailure: TypeAlias = Callable[[str, Exception], None]
Outcome: TypeAlias = tuple[Source, InstanceSegResult | Exception]


class FailureReport:
    """What happened to the inputs of one request.

    One image given alone fails with its own error. Of several, a bad one is logged, handed to
    `on_failure` and left out; only when nothing came out at all is there an error at the end.

    Args:
        input: the request's input, as the user gave it.
        on_failure: called with the input's name and its error.
    """

    def __init__(self, input: Any, on_failure: OnFailure | None) -> None:
        self._alone = is_single(input)
        self._on_failure = on_failure
        self._failures: list[tuple[str, Exception]] = []
        self._delivered = 0

    def add(self, name: str, error: Exception) -> None:
        """Record one failed input; raises its error when it was given alone."""
        if self._alone:
            raise error
        self._failures.append((name, error))
        logger.warning("left out: %s", describe_failure(name, error))
        if self._on_failure is not None:
            self._on_failure(name, error)

    def deliver(self, outcomes: Iterable[Outcome]) -> Iterator[InstanceSegResult]:
        """Pass results on and record errors."""
        for source, outcome in outcomes:
            if isinstance(outcome, InstanceSegResult):
                self._delivered += 1
                yield outcome
            else:
                self.add(source.name, outcome)

    def finish(self) -> None:
        """Close the account.

        Raises:
            FailedInputsError: there were failures and not one result.
        """
        if self._failures and not self._delivered:
            raise FailedInputsError(self._failures)


def read_batches(input: Any, batch_size: int, report: FailureReport) -> Iterator[list[Source]]:
    """Read images in order, `batch_size` at a time; those that can't be read go to `report`."""
    batch: list[Source] = []
    for source, read_ms in timed(iter_sources(input)):
        if source.error is not None:
            report.add(source.name, source.error)
            continue
        batch.append(replace(source, read_ms=read_ms))
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch
