# SPDX-License-Identifier: Apache-2.0
"""Promises beside what reports say about them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from benchmarks.stock.goals import NAMED, THRESHOLD, UNCUT, Goal
from hpip.bench.contender import AUTO
from hpip.bench.record import MEASURED, ROUNDED, Report, Row
from hpip.bench.render.tables import NOTHING, Table, milliseconds
from hpip.bench.settings import parse_size

_HEADINGS = (
    "model",
    "image",
    "hpip runs",
    "against",
    "hpip (ms)",
    "it (ms)",
    "measured, promised",
    "peak RSS (GB), promised",
    "answer",
    "met",
)


def goal_table(goals: Sequence[Goal], reports: Sequence[Report]) -> Table:
    """Rows for each promise that the reports tell something about.

    A second one tells what the engine reaches that hpip does not choose by itself, since rounding
    moves the model's answers too far for any to be the same.
    """
    rows = [row for report in reports for row in report.rows]
    cells = []
    for goal in goals:
        if own := _find(goal, AUTO, rows):
            cells.append(_cells(goal, own, rows))
        named = [row for name in NAMED if (row := _find(goal, name, rows)) and row.state == ROUNDED]
        if named:
            fastest = min(named, key=lambda row: row.p50_ms or math.inf)
            cells.append(_cells(goal, fastest, rows))
    return Table("hpip against stock PaddleX", "", _HEADINGS, cells, names=4)


def _find(goal: Goal, backend: str | None, rows: Sequence[Row]) -> Row | None:
    wanted = (goal.model, backend, parse_size(goal.size), THRESHOLD)
    matching = (
        row for row in rows if (row.model, row.backend, row.image_hw, row.threshold) == wanted
    )
    return next(matching, None)


def _cells(goal: Goal, own: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    other = _find(goal, UNCUT if goal.uncut else own.speedup_paddlex_of, rows)
    speeds, memory = list(_speed(goal, own, other)), list(_memory(goal, own, other))
    met = own.timed and all(holds for _, holds in (*speeds, *memory))
    return (
        goal.model,
        goal.size,
        own.runs or NOTHING,
        other.backend if other else NOTHING,
        milliseconds(own.p50_ms) if own.timed else NOTHING,
        milliseconds(other.p50_ms) if other and other.timed else NOTHING,
        "; ".join(text for text, _ in speeds) or NOTHING,
        "; ".join(text for text, _ in memory) or NOTHING,
        "same" if own.state == MEASURED else own.state,
        _met(own, met),
    )


def _met(own: Row, within_limits: bool) -> str:
    if not within_limits or own.state not in (MEASURED, ROUNDED):
        return "no"
    return "yes" if own.state == MEASURED else f"yes, {own.state}"


def _speed(goal: Goal, own: Row, other: Row | None) -> Iterator[tuple[str, bool]]:
    """What was measured beside what was promised, and whether it is as good."""
    if goal.speed_up is not None:
        ratio = _ratio(other.p50_ms if other else None, own.p50_ms)
        yield f"{_text(ratio)} times, {goal.speed_up:g}", (ratio or 0.0) >= goal.speed_up
    if goal.latency_s is not None:
        yield _at_most(_ratio(own.p50_ms, 1e3), goal.latency_s, " s")
    if goal.arithmetic is not None:
        yield _at_most(_ratio(1.0, own.peak_share), goal.arithmetic, " of its arithmetic")


def _memory(goal: Goal, own: Row, other: Row | None) -> Iterator[tuple[str, bool]]:
    if goal.rss_gb is not None:
        yield _at_most(_ratio(own.peak_rss_bytes, 1e9), goal.rss_gb, "")
    if goal.rss_share is not None:
        share = _ratio(own.peak_rss_bytes, other.peak_rss_bytes if other else None)
        yield _at_most(share, goal.rss_share, " of its memory")


def _at_most(value: float | None, limit: float, unit: str) -> tuple[str, bool]:
    return f"{_text(value)}{unit}, {limit:g}", value is not None and value <= limit


def _ratio(value: float | None, divisor: float | None) -> float | None:
    return value / divisor if value and divisor else None


def _text(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3g}"
