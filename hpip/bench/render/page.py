# SPDX-License-Identifier: Apache-2.0
"""Renders a report as one self-contained HTML file, without scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib import resources

from hpip.bench.record import Report
from hpip.bench.render.plots import Plot
from hpip.bench.render.tables import Table, machine_line, remarks, tables_of

_NOT_SHOWN = ("packages", "paddlex_packages", "sgemm_gflops")


def html_page(report: Report, plots: Sequence[Plot]) -> str:
    """Render the whole page."""
    style = (resources.files("hpip.bench.render") / "page.css").read_text("utf-8")
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>hpip bench, {escape(report.created_utc)}</title>",
            f"<style>\n{style}</style>\n</head>\n<body>\n<main>",
            "<h1>hpip bench</h1>",
            f'<p class="machine">{escape(machine_line(report))}</p>',
            _remarks(report),
            _plots(plots),
            *(_table(table) for table in tables_of(report)),
            _environment(report),
            "</main>\n</body>\n</html>\n",
        ]
    )


def _remarks(report: Report) -> str:
    found = remarks(report)
    if not found:
        return ""
    items = "\n".join(f"<li>{escape(text)}</li>" for text in found)
    return f'<ul class="remarks">\n{items}\n</ul>'


def _plots(plots: Sequence[Plot]) -> str:
    figures = "\n".join(
        f'<figure id="{plot.name}" class="plot"><figcaption>{escape(plot.title)}</figcaption>'
        f"{plot.svg}</figure>"
        for plot in plots
    )
    return f'<section class="plots">\n{figures}\n</section>'


def _table(table: Table) -> str:
    head = "".join(
        f"<th{_side(number, table)}>{escape(heading)}</th>"
        for number, heading in enumerate(table.headings)
    )
    body = "\n".join(_row(row, table) for row in table.rows)
    return (
        f"<section>\n<h2>{escape(table.title)}</h2>\n<div class='scroll' tabindex='0'>"
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>\n"
        f"<p class='note'>{escape(table.note)}</p>\n</section>"
    )


def _row(row: Sequence[str], table: Table) -> str:
    cells = "".join(
        f"<td{_side(number, table)}>{escape(cell)}</td>" for number, cell in enumerate(row)
    )
    bad = {"WRONG", "FAILED"} & set(row)
    return f"<tr{' class=bad' if bad else ''}>{cells}</tr>"


def _side(number: int, table: Table) -> str:
    return " class=name" if number < table.names else ""


def _environment(report: Report) -> str:
    place = report.environment
    lines = {name: value for name, value in place.items() if name not in _NOT_SHOWN}
    lines |= {f"package {name}": version for name, version in place["packages"].items()}
    for name, version in (place.get("paddlex_packages") or {}).items():
        lines[f"PaddleX environment: {name}"] = version
    lines |= {f"setting {name}": value for name, value in report.settings.items()}
    lines["images"] = [image["name"] for image in report.images]
    rows = "\n".join(
        f"<tr><th>{escape(str(name))}</th><td>{escape(_text(value))}</td></tr>"
        for name, value in lines.items()
    )
    return (
        "<section>\n<details><summary>Machine, software and settings</summary>\n"
        f'<div class="scroll" tabindex="0"><table class="facts">\n{rows}\n</table></div>'
        "</details>\n</section>"
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
