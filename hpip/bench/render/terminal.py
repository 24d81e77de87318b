# SPDX-License-Identifier: Apache-2.0
"""Shows the progress of a run, and its report, on a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable
from rich.text import Text

from hpip.bench.record import FAILED, WRONG, Report, Row
from hpip.bench.render.tables import Table, machine_line, milliseconds, remarks, tables_of
from hpip.bench.watcher import Watcher
from hpip.common.closing import Closing

_LEAST_MODEL_WIDTH = 12


class TerminalWatcher(Watcher, Closing):
    """Shows a progress bar on a terminal, else prints one line for each step."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None, detail="")
        self._title = ""

    def __enter__(self) -> TerminalWatcher:
        self._progress.start()
        return self

    def close(self) -> None:
        """Remove the progress bar; further calls do nothing."""
        self._progress.stop()

    def workload(self, title: str, number: int, count: int) -> None:
        """See `Watcher`."""
        self._title = f"[{number}/{count}] {title}"
        self._progress.reset(self._task, description=self._title, total=None)
        if not self._console.is_terminal:
            self._say(self._title)

    def doing(self, text: str) -> None:
        """See `Watcher`."""
        self._progress.update(self._task, description=self._title, detail=text, total=None)
        if not self._console.is_terminal:
            self._say(f"  {text}")

    def round(
        self, number: int, widths: Mapping[str, float], spent_s: float, budget_s: float
    ) -> None:
        """See `Watcher`."""
        widest = max(widths.values(), default=0.0)
        sure = f", widest interval {widest:.0%}" if math.isfinite(widest) else ""
        self._progress.update(
            self._task,
            detail=f"round {number}{sure}",
            completed=min(spent_s, budget_s),
            total=budget_s,
        )

    def finished(self, row: Row) -> None:
        """See `Watcher`."""
        if row.timed:
            self._say(f"  {row.contender.label}: p50 {milliseconds(row.p50_ms)} ms")

    def _say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)


def print_report(report: Report, console: Console) -> None:
    """Print all tables of a report, and remarks on them."""
    console.print(machine_line(report), markup=False, style="dim", soft_wrap=True)
    for table in tables_of(report):
        console.print(_rich(table, console.width))
        console.print(table.note, style="dim", markup=False, soft_wrap=True)
    for text in remarks(report):
        console.print(f"- {text}", markup=False, highlight=False, style="yellow", soft_wrap=True)


def _rich(table: Table, width: int) -> RichTable:
    table = _narrowed(table, width)
    made = RichTable(box=SIMPLE, title=Text(table.title), title_justify="left", title_style="bold")
    for number, heading in enumerate(table.headings):
        is_model = number == 0
        made.add_column(
            heading,
            justify="left" if number < table.names else "right",
            overflow="fold",
            no_wrap=not is_model,
            min_width=_LEAST_MODEL_WIDTH if is_model else None,
        )
    bad = {WRONG.upper(), FAILED.upper()}
    for row in table.rows:
        made.add_row(*(Text(cell) for cell in row), style="red" if bad & set(row) else None)
    return made


def _narrowed(table: Table, width: int) -> Table:
    """The table without the spare columns that do not fit; the model's name may wrap."""
    for heading in table.spare:
        columns = list(zip(table.headings, *table.rows, strict=True))
        needed = sum(max(map(len, column)) + 3 for column in columns[1:])
        if needed + _LEAST_MODEL_WIDTH + 3 <= width:
            break
        kept = [i for i, name in enumerate(table.headings) if name != heading]
        table = replace(
            table,
            headings=tuple(table.headings[i] for i in kept),
            rows=[tuple(row[i] for i in kept) for row in table.rows],
        )
    return table
