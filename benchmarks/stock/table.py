# SPDX-License-Identifier: Apache-2.0
"""Tables of the goals and of the measurements in reports of `hpip bench`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.stock.goals import DEFAULT, MODELS, PLAIN, THRESHOLD, Goal
from hpip.bench.contender import AUTO
from hpip.bench.record import DIFFERS, MEASURED, Report, Row, load_report
from hpip.bench.render.tables import NOTHING, Table, milliseconds
from hpip.bench.settings import parse_size

_HEADINGS = (
    "model",
    "image",
    "hpip's graph and engine",
    "hpip (ms)",
    "PaddleX (ms)",
    "PaddleX, run_mode paddle (ms)",
    "speed (goal)",
    "peak RSS (goal)",
    "results",
    "goal met",
)


def goal_table(goals: Sequence[Goal], reports: Sequence[Report]) -> Table:
    """A row for each goal whose model and image size the reports contain.

    The speed-up and the share of memory are relative to PaddleX's default.
    """
    rows = [row for report in reports for row in report.rows]
    cells = [_cells(goal, own, rows) for goal in goals if (own := _find(goal, AUTO, rows))]
    return Table("hpip against stock PaddleX", "", _HEADINGS, cells, names=3)


def reports_in(folder: Path) -> list[Report]:
    """The reports of all measured models, in the order of `MODELS`."""
    paths = (folder / f"{model}.json" for model in MODELS)
    return [load_report(path) for path in paths if path.exists()]


def speed_table(models: Sequence[str], reports: Sequence[Report]) -> Table:
    """A row for each model at 1080x1920: stock PaddleX, hpip, speed-up and share of memory."""
    rows = [row for report in reports for row in report.rows]
    cells: list[tuple[str, ...]] = []
    for model in models:
        goal = Goal(model)
        own, stock = _find(goal, AUTO, rows), _find(goal, DEFAULT, rows)
        if own is None or stock is None or own.state != MEASURED:
            continue
        share = _ratio(own.peak_rss_bytes, stock.peak_rss_bytes)
        cells.append(
            (
                model,
                milliseconds(stock.p50_ms),
                milliseconds(own.p50_ms),
                _text(_ratio(stock.p50_ms, own.p50_ms)),
                NOTHING if share is None else f"{share:.0%}",
                own.runs.split(", ")[1] if ", " in own.runs else NOTHING,
            )
        )
    headings = ("model", "PaddleX (ms)", "hpip (ms)", "speed-up", "memory", "engine")
    return Table("", "", headings, cells)


def _find(goal: Goal, backend: str, rows: Sequence[Row]) -> Row | None:
    wanted = (goal.model, backend, parse_size(goal.size), THRESHOLD)
    matching = (
        row for row in rows if (row.model, row.backend, row.image_hw, row.threshold) == wanted
    )
    return next(matching, None)


def _cells(goal: Goal, own: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    stock, plain = _find(goal, DEFAULT, rows), _find(goal, PLAIN, rows)
    speeds, memory = list(_speed(goal, own, stock)), list(_memory(goal, own, stock))
    times = [milliseconds(r.p50_ms) if r and r.timed else NOTHING for r in (own, stock, plain)]
    met = own.state == MEASURED and all(holds for _, holds in (*speeds, *memory))
    return (
        goal.model,
        goal.size,
        own.runs or NOTHING,
        *times,
        "; ".join(text for text, _ in speeds) or NOTHING,
        "; ".join(text for text, _ in memory) or NOTHING,
        _answer(own, stock),
        "yes" if met else "no",
    )


def _answer(own: Row, stock: Row | None) -> str:
    """Whether hpip's results are plain Paddle's, and those of PaddleX on this processor too."""
    mine = "same" if own.state == MEASURED else own.state
    if stock is None or stock.state != DIFFERS:
        return mine
    return f"{mine}; PaddleX's scores differ by up to {stock.max_score_diff:.2g}"


def _speed(goal: Goal, own: Row, other: Row | None) -> Iterator[tuple[str, bool]]:
    """The measured value with the goal, and whether the goal is met."""
    if goal.speed_up is not None:
        ratio = _ratio(other.p50_ms if other else None, own.p50_ms)
        text = f"speed-up {_text(ratio)} (at least {goal.speed_up:g})"
        yield text, (ratio or 0.0) >= goal.speed_up
    if goal.latency_s is not None:
        yield _at_most(_ratio(own.p50_ms, 1e3), goal.latency_s, " s")
    if goal.arithmetic is not None:
        yield _at_most(_ratio(1.0, own.peak_share), goal.arithmetic, " x a matrix product's time")


def _memory(goal: Goal, own: Row, other: Row | None) -> Iterator[tuple[str, bool]]:
    if goal.rss_gb is not None:
        yield _at_most(_ratio(own.peak_rss_bytes, 1e9), goal.rss_gb, " GB")
    if goal.rss_share is not None:
        share = _ratio(own.peak_rss_bytes, other.peak_rss_bytes if other else None)
        yield _at_most(share, goal.rss_share, " x PaddleX's")


def _at_most(value: float | None, limit: float, unit: str) -> tuple[str, bool]:
    return f"{_text(value)}{unit} (at most {limit:g})", value is not None and value <= limit


def _ratio(value: float | None, divisor: float | None) -> float | None:
    return value / divisor if value and divisor else None


def _text(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3g}"
