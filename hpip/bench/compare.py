# SPDX-License-Identifier: Apache-2.0
"""Compares two reports, and separates changes from noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hpip.bench.environment import differences
from hpip.bench.record import GOOD_STATES, Report, Row
from hpip.bench.render.tables import milliseconds
from hpip.bench.stats import Interval, median_interval

Kind: TypeAlias = Literal["same", "faster", "slower", "regression", "note"]


@dataclass(frozen=True)
class Change:
    """One difference between two reports.

    Attributes:
        kind: "same": within noise; "slower": beyond noise, but within the bound; "regression":
            beyond both.
        text: description in one line.
    """

    kind: Kind
    text: str


def compare_reports(new: Report, old: Report, bound: float) -> list[Change]:
    """Compare the contenders that both reports contain.

    A change of the median is noise if the two 95 % confidence intervals overlap. A contender whose
    validation fails now, or that fails to run now, is a regression regardless of its latency.

    Args:
        new: the new report.
        old: the report to compare it with.
        bound: relative growth of the median (beyond noise) or of peak memory that counts as a
            regression; 0.1 is 10 %.
    """
    changed = differences(new.environment, old.environment)
    found = [Change("note", f"differs: {line}") for line in changed]
    if found:
        text = "Machine or software differ: compare speed-ups rather than latencies."
        found.insert(0, Change("note", text))
    if new.images != old.images:
        found.append(Change("note", "The images differ: latencies are not comparable."))
    for row in new.rows:
        before = old.row_of(row.contender)
        if before is None:
            found.append(Change("note", f"{_name(row)}: not in the old report"))
        else:
            found += _compare_rows(row, before, bound)
    known = {row.contender for row in new.rows}
    found += [
        Change("note", f"{_name(row)}: only in the old report")
        for row in old.rows
        if row.contender not in known
    ]
    return found


def _compare_rows(row: Row, before: Row, bound: float) -> Iterator[Change]:
    name = _name(row)
    if before.state in GOOD_STATES and row.state not in GOOD_STATES:
        kind: Kind = "note" if row.state == "interrupted" else "regression"
        yield Change(kind, f"{name}: was {before.state}, is {row.state}: {row.error}")
        return
    if not row.timed or not before.timed:
        yield Change("note", f"{name}: was {before.state}, is {row.state}")
        return
    if row.remembered:
        yield Change("note", f"{name}: its latencies come from the cache of an earlier run")
        return
    yield _compare_times(name, row, before, bound)
    if row.peak_rss_bytes and before.peak_rss_bytes:
        growth = row.peak_rss_bytes / before.peak_rss_bytes - 1
        if growth > bound:
            yield Change(
                "regression",
                f"{name}: peak memory {before.peak_rss_bytes / 1e6:.0f} ->"
                f" {row.peak_rss_bytes / 1e6:.0f} MB, {growth:+.0%}",
            )


def _compare_times(name: str, row: Row, before: Row, bound: float) -> Change:
    now, then = _interval(row), _interval(before)
    change = now.median / then.median - 1
    medians = f"{milliseconds(then.median)} -> {milliseconds(now.median)} ms"
    text = f"{name}: p50 {medians}, {change:+.1%}"
    if now.overlaps(then):
        ranges = f"{_range(then)} and {_range(now)}"
        return Change("same", f"{text}: within noise, the intervals overlap ({ranges})")
    if change <= 0:
        return Change("faster", f"{text}: faster, beyond noise")
    if change <= bound:
        return Change("slower", f"{text}: slower beyond noise, within the bound of {bound:.0%}")
    return Change("regression", f"{text}: a regression, beyond noise and the bound of {bound:.0%}")


def _interval(row: Row) -> Interval:
    """Interval of the median, from the samples: reports store an unbounded interval as null."""
    if row.samples_ms:
        return median_interval(row.samples_ms)
    assert row.p50_ms is not None
    return Interval(row.p50_ms, float("-inf"), float("inf"))


def _range(interval: Interval) -> str:
    if interval.high == float("inf"):
        return "too few calls for an interval"
    return f"{milliseconds(interval.low)} to {milliseconds(interval.high)}"


def _name(row: Row) -> str:
    return f"{row.contender.workload.title}, {row.contender.label}"
