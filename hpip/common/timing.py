# SPDX-License-Identifier: Apache-2.0
"""Per-stage latency of a prediction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from time import perf_counter
from typing import Literal, TypeAlias, TypeVar

Item = TypeVar("Item")
Stage: TypeAlias = Literal["read", "preprocess", "wait", "infer", "postprocess"]


@dataclass(frozen=True)
class StageTimes:
    """Latency of one image by stage: wall time in milliseconds; stages do not overlap.

    The time of a batch is divided evenly among its images, so that the sum over the images is the
    time of the batch. A stage that was not measured is 0. If several threads or devices work in
    parallel, the stages of their images overlap, and sums exceed the elapsed time.

    Attributes:
        read_ms: reading and decoding the image, or waiting for the caller's iterator.
        preprocess_ms: from the image to the network's input.
        wait_ms: waiting for a session that other callers use.
        infer_ms: running the network.
        postprocess_ms: from the network's outputs to the result, including RLE encoding.
    """

    read_ms: float = 0.0
    preprocess_ms: float = 0.0
    wait_ms: float = 0.0
    infer_ms: float = 0.0
    postprocess_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        """Sum of all stages in milliseconds."""
        return float(sum(getattr(self, field.name) for field in fields(self)))


class Stopwatch:
    """Attributes all time since its creation to stages; for use by one thread."""

    def __init__(self) -> None:
        self._ms: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, stage: Stage) -> None:
        """Add the time since the last lap to `stage`."""
        now = perf_counter()
        name = f"{stage}_ms"
        self._ms[name] = self._ms.get(name, 0.0) + (now - self._last) * 1e3
        self._last = now

    def share(self, images: int) -> StageTimes:
        """Stage times per image: all laps divided by `images` (at least 1)."""
        return StageTimes(**{name: ms / images for name, ms in self._ms.items()})


def timed(items: Iterable[Item]) -> Iterator[tuple[Item, float]]:
    """Yield each item with the time in milliseconds that the iterator took."""
    iterator = iter(items)
    while True:
        start = perf_counter()
        try:
            item = next(iterator)
        except StopIteration:
            return
        yield item, (perf_counter() - start) * 1e3
