# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpip.bench.stats import median_interval, middle_half, paired_ratio, percentile

times = st.floats(0.1, 1e6, allow_nan=False)


def coverage(count: int, rank: int) -> float:
    """Chance that the median lies between the values of rank `rank` from both ends, exactly."""
    return sum(math.comb(count, k) for k in range(rank + 1, count - rank)) / 2**count


@pytest.mark.parametrize("count", [6, 7, 9, 10, 20, 51, 100, 1000])
def test_interval_is_the_narrowest_that_holds_the_median_with_95_percent(count: int) -> None:
    values = [float(value) for value in range(count)]
    interval = median_interval(values)
    rank = int(interval.low)
    assert interval.high == count - 1 - rank
    assert coverage(count, rank) >= 0.95
    assert coverage(count, rank + 1) < 0.95


def test_interval_holds_the_true_median_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    draws = rng.exponential(10.0, (2000, 21))
    intervals = [median_interval(draw.tolist()) for draw in draws]
    held = np.mean([one.low <= 10 * math.log(2) <= one.high for one in intervals])
    assert 0.94 <= held <= 0.99


@given(st.lists(times, min_size=1, max_size=5))
def test_few_values_give_no_interval(values: list[float]) -> None:
    interval = median_interval(values)
    assert (interval.low, interval.high) == (-math.inf, math.inf)
    assert interval.relative_width == math.inf


@given(st.lists(times, min_size=1, max_size=40), st.randoms())
def test_order_does_not_matter(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert median_interval(values) == median_interval(shuffled)
    assert percentile(values, 0) == min(values)
    assert percentile(values, 100) == max(values)
    assert min(values) <= median_interval(values).median <= max(values)


def test_paired_ratio_does_not_see_what_slows_both_sides() -> None:
    rng = np.random.default_rng(1)
    own = rng.uniform(1, 50, 30)
    ratio = paired_ratio(own.tolist(), (own * 3).tolist())
    assert ratio.median == pytest.approx(3)
    assert ratio.relative_width < 1e-9


@given(st.lists(times, min_size=1, max_size=40))
def test_middle_half_holds_the_median_and_no_extremes_of_many(values: list[float]) -> None:
    inside = [values[i] for i in middle_half(values)]
    low, high = np.percentile(values, [25, 75])
    assert inside
    if any(low <= value <= high for value in values):
        assert all(low <= value <= high for value in inside)
