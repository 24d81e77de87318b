# SPDX-License-Identifier: Apache-2.0
"""Percentiles, medians and their 95 % confidence intervals."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_CONFIDENCE = 0.95
# Fewer values have no interval of order statistics with that confidence.
LEAST_SAMPLES = 6


@dataclass(frozen=True)
class Interval:
    """A median and its 95 % confidence interval, which is unbounded for too few values."""

    median: float
    low: float
    high: float

    @property
    def relative_width(self) -> float:
        """Width of the interval divided by the median."""
        return (self.high - self.low) / self.median if self.median else math.inf

    def overlaps(self, other: Interval) -> bool:
        """Whether the two intervals overlap."""
        return self.low <= other.high and other.low <= self.high


def percentile(values: Sequence[float], percent: float) -> float:
    """Percentile of at least one value, with linear interpolation."""
    return float(np.percentile(values, percent))


def median_interval(values: Sequence[float]) -> Interval:
    """The median with a confidence interval of order statistics.

    The values must be independent; their distribution may be any.
    """
    ordered = sorted(values)
    median = percentile(ordered, 50)
    if len(ordered) < LEAST_SAMPLES:
        return Interval(median, -math.inf, math.inf)
    rank = _lower_rank(len(ordered))
    return Interval(median, ordered[rank], ordered[-1 - rank])


@functools.lru_cache(maxsize=1024)
def _lower_rank(count: int) -> int:
    """The highest k (from 0) for which the k-th lowest and k-th highest value enclose the median.

    The number of values below the median has a binomial distribution with p = 1/2; each side may
    miss the median with half of the error probability.
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
    """The median of other / value over pairs that were measured one after the other.

    Load on the machine slows both values of a pair, so the ratio is more precise than the medians.
    """
    pairs = zip(values, others, strict=False)
    return median_interval([other / value for value, other in pairs])


def middle_half(totals: Sequence[float]) -> list[int]:
    """Indices of the values between the quartiles; at least one index."""
    low, high = np.percentile(totals, [25, 75])
    return [i for i, total in enumerate(totals) if low <= total <= high] or [
        int(np.argsort(totals)[len(totals) // 2])
    ]
