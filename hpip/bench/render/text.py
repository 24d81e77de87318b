# SPDX-License-Identifier: Apache-2.0
"""Renders a report as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import fields

from hpip.bench.record import Report, Row
from hpip.bench.render.tables import Table, machine_line, remarks, tables_of

_CSV_LEFT_OUT = ("samples_ms",)


def markdown(report: Report) -> str:
    """Render all tables and remarks as Markdown."""
    parts = [f"Machine: {machine_line(report)}"]
    tables = tables_of(report)
    parts += [f"### {one.title}\n\n{markdown_table(one)}\n\n{one.note}" for one in tables]
    if found := remarks(report):
        parts.append("\n".join(f"- {_escaped(text)}" for text in found))
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """Render one table: text is aligned left, numbers right."""
    marks = ["---"] * table.names + ["---:"] * (len(table.headings) - table.names)
    lines = [table.headings, marks, *table.rows]
    return "\n".join("| " + " | ".join(map(_escaped, line)) + " |" for line in lines)


def csv_text(report: Report) -> str:
    """Render one line per contender, with the fields of the JSON except for the samples."""
    names = [one.name for one in fields(Row) if one.name not in _CSV_LEFT_OUT]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in report.rows:
        writer.writerow([_plain(getattr(row, name)) for name in names])
    return out.getvalue()


def _plain(value: object) -> object:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "x".join(map(str, value))
    return "" if value is None else value


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
