# SPDX-License-Identifier: Apache-2.0
"""Percentiles, and how sure a median is. All intervals are at 95 %."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_CONFIDENCE = 0.95
# With fewer values no interval between two of them holds the median with that confidence.
LEAST_SAMPLES = 6


@dataclass(frozen=True)
class Interval:
    """A median and the interval that holds the true one; infinitely wide for too few values."""

    median: float
    low: float
    high: float

    @property
    def relative_width(self) -> float:
        """Width over median."""
        return (self.high - self.low) / self.median if self.median else math.inf

    def overlaps(self, other: Interval) -> bool:
        """Whether the two have a value in common."""
        return self.low <= other.high and other.low <= self.high


def percentile(values: Sequence[float], percent: float) -> float:
    """Linear between the two nearest values; of at least one value."""
    return float(np.percentile(values, percent))


def median_interval(values: Sequence[float]) -> Interval:
    """The median with an interval between two of the values (order statistics).

    Nothing is assumed about how the values are distributed, but that they are independent.
    """
    ordered = sorted(values)
    median = percentile(ordered, 50)
    if len(ordered) < LEAST_SAMPLES:
        return Interval(median, -math.inf, math.inf)
    rank = _lower_rank(len(ordered))
    return Interval(median, ordered[rank], ordered[-1 - rank])


@functools.lru_cache(maxsize=1024)
def _lower_rank(count: int) -> int:
    """The highest k so that the k-th lowest and k-th highest value enclose the median (from 0).

    The number of values below the median is binomial with 1/2; k or fewer are below it with at most
    half of the probability that may be lost.
    """
    lost, rank = 0.0, -1
    log_all = count * math.log(2)
    while True:
        step = rank + 1
        log_ways = math.lgamma(count + 1) - math.lgamma(step + 1) - math.lgamma(count - step + 1)
        lost += math.exp(log_ways - log_all)
        if lost > (1 - _CONFIDENCE) / 2:
            return rank
        rank = step


def paired_ratio(values: Sequence[float], others: Sequence[float]) -> Interval:
    """The median of other / value over pairs that were taken one after the other.

    What slows the machine slows both of a pair, so that the ratio is surer than the two medians.
    """
    pairs = zip(values, others, strict=False)
    return median_interval([other / value for value, other in pairs])


def middle_half(totals: Sequence[float]) -> list[int]:
    """Indices of the values between the quartiles; at least one."""
    low, high = np.percentile(totals, [25, 75])
    return [i for i, total in enumerate(totals) if low <= total <= high] or [
        int(np.argsort(totals)[len(totals) // 2])
    ]
