# SPDX-License-Identifier: Apache-2.0
"""Where the time of a prediction goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from time import perf_counter
from typing import Literal, TypeAlias, TypeVar

Item = TypeVar("Item")
Stage: TypeAlias = Literal["read", "preprocess", "wait", "infer", "postprocess"]


@dataclass(frozen=True)
class StageTimes:
    """Wall time that one image took, in milliseconds; no moment counts in two stages.

    What images of one batch did together is divided evenly among them, so that the sum over a
    batch's images is the batch's time. A stage that was not measured is 0. Where threads or devices
    work side by side, their images' stages overlap, and sums exceed the clock.

    Attributes:
        read_ms: until the decoded image was there: disk, network, decoder, or the caller's own
            iterator.
        preprocess_ms: from the image to the network's input.
        wait_ms: for the network, while other callers had it.
        infer_ms: the network, on whatever engine.
        postprocess_ms: from the network's output to the result, run-length codes included.
    """

    read_ms: float = 0.0
    preprocess_ms: float = 0.0
    wait_ms: float = 0.0
    infer_ms: float = 0.0
    postprocess_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        """All stages together."""
        return float(sum(getattr(self, field.name) for field in fields(self)))


class Stopwatch:
    """Gives every moment since it was made to one stage; for one thread."""

    def __init__(self) -> None:
        self._ms: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, stage: Stage) -> None:
        """Credit the time since the last lap to `stage`, on top of what it has."""
        now = perf_counter()
        name = f"{stage}_ms"
        self._ms[name] = self._ms.get(name, 0.0) + (now - self._last) * 1e3
        self._last = now

    def share(self, images: int) -> StageTimes:
        """One image's part of all laps, when `images` of them (at least 1) were worked on."""
        return StageTimes(**{name: ms / images for name, ms in self._ms.items()})


def timed(items: Iterable[Item]) -> Iterator[tuple[Item, float]]:
    """Each item with the milliseconds that the iterator took to give it."""
    iterator = iter(items)
    while True:
        start = perf_counter()
        try:
            item = next(iterator)
        except StopIteration:
            return
        yield item, (perf_counter() - start) * 1e3
