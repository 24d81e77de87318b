# SPDX-License-Identifier: Apache-2.0
"""The report of `explain`: which graph and engine run a model, and why the others do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.choose import Choice
from hpip.inference.tuning.records import EngineRow, engine_rows, label

_COLUMNS = ("engine", "status", "latency", "CPU time", "vs. plain Paddle", "reason")


def engine_table(choice: Choice, running: Engine) -> str:
    """A table of engines: the running one first, then each rejected one with the reason.

    Args:
        choice: what hpip chose when it loaded the model.
        running: the engine that runs the model; differs from the choice if that failed to load.
    """
    rows = [_cells(row) for row in _rows(choice, running)]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in (_COLUMNS, *rows)
    )


def heading(entries: Sequence[tuple[str, str]]) -> str:
    """Names and values, one pair per line, with the values aligned."""
    width = max(len(name) for name, _ in entries) + 1
    return "\n".join(f"{f'{name}:':{width}} {value}" for name, value in entries)


def _rows(choice: Choice, running: Engine) -> list[EngineRow]:
    if choice.verdict is None or choice.request is None:
        return [EngineRow(label(running), "chosen", choice.engine_reason)]
    rows = engine_rows(choice.verdict, choice.request.baseline)
    if running == choice.engine:
        return rows
    failed, *others = rows
    name = label(running)
    reason = f"fallback engine, because {failed.engine} could not load the model"
    fallback = next((row for row in others if row.engine == name), EngineRow(name, "", ""))
    return [
        replace(fallback, status="chosen", reason=reason),
        EngineRow(failed.engine, "rejected", "it could not load the model"),
        *(row for row in others if row is not fallback),
    ]


def _cells(row: EngineRow) -> tuple[str, ...]:
    latency, cpu_time = (
        "" if value is None else f"{value:.1f} ms" for value in (row.time_ms, row.cpu_ms)
    )
    speedup = "" if row.speedup is None else f"{row.speedup:.2f}x"
    # An engine's error may have several lines; a row has one.
    return row.engine, row.status, latency, cpu_time, speedup, " ".join(row.reason.split())
