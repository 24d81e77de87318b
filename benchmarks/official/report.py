# SPDX-License-Identifier: Apache-2.0
"""Renders the report of official models as Markdown; `official.json` contains all of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.official.published import PUBLISHED_IMAGES, PUBLISHED_ON
from benchmarks.official.steps import AP, DONE, ORIGINAL, PADDLE
from benchmarks.stock.goals import GOALS
from benchmarks.stock.table import goal_table
from hpip.bench.contender import AUTO
from hpip.bench.record import Report, load_report
from hpip.bench.render.tables import NOTHING, Table, machine_line, milliseconds, tables_of
from hpip.bench.render.text import markdown_table

Record: TypeAlias = Mapping[str, Any]
_TITLES = {"checks": "graph", "gate": "tuning", "stock": "comparison with PaddleX"}


def markdown(content: Record) -> str:
    """The whole report: one table of all models, then a section for each."""
    models: list[Record] = content["models"]
    place = Report(content["created_utc"], False, {}, content["environment"], [])
    parts = [
        "# Official models",
        markdown_table(_summary(models)),
        "*Graph*: number of assumptions that hold. *Engine*: chosen by hpip. *Speed-up*: over "
        "PaddleX's default, at the first image size. *Mask AP*: in percent.",
        machine_line(place),
    ]
    if note := _dataset_note(content):
        parts.append(note)
    for record in models:
        parts += _section(record)
    return "\n\n".join(parts) + "\n"


def _summary(models: list[Record]) -> Table:
    headings = ("model", "graph", "engine", "program", "speed-up", "mask AP", "published mask AP")
    rows: list[tuple[str, ...]] = []
    for record in models:
        gate, checks = _done(record, "gate"), _done(record, "checks").get("checks", [])
        chosen = _done(record, _chosen_step(record))
        good = sum(check["as_assumed"] for check in checks)
        rows.append(
            (
                record["model"],
                f"{good} of {len(checks)}" if checks else NOTHING,
                gate.get("engine", NOTHING),
                gate.get("program", NOTHING),
                _speed_up(record),
                _percent(chosen.get("mask_ap")),
                _points(record.get("published_mask_ap")),
            )
        )
    return Table("Official models", "", headings, rows, names=4)


def _section(record: Record) -> Iterator[str]:
    yield f"## {record['model']}"
    if "state" in record:
        yield f"The model could not be read: {record['reason']}"
        return
    if record["name"] is None:
        yield (
            "The model has no official name, so its graph and its mask AP are not compared with "
            "those of an official model."
        )
    problems = [
        f"- {_TITLES.get(step, f'mask AP on {step.removeprefix(AP)}')}: {found['state']}:"
        f" {found.get('reason', '')}"
        for step, found in record["steps"].items()
        if found["state"] != DONE
    ]
    if problems:
        yield "\n".join(problems)
    if checks := _done(record, "checks").get("checks"):
        yield "### Graph"
        yield from _checks(checks)
    if gate := _done(record, "gate"):
        yield "### Engines"
        yield from _gate(gate)
    if stock := _stock_report(record):
        yield "### Comparison with PaddleX"
        goals = goal_table(GOALS, [stock])
        yield from (markdown_table(one) for one in (goals, *tables_of(stock)[:1]) if one.rows)
    if rows := list(_precision_rows(record)):
        yield "### Mask AP"
        yield markdown_table(Table("", "", _AP_HEADINGS, rows, names=1))


def _checks(checks: list[Record]) -> Iterator[str]:
    differing = [check for check in checks if not check["as_assumed"]]
    good = ", ".join(check["what"] for check in checks if check["as_assumed"])
    if good:
        yield f"As expected: {good}."
    if differing:
        headings = ("difference", "expected", "found")
        names = ("what", "expected", "found")
        rows = [tuple(str(check[name]) for name in names) for check in differing]
        yield markdown_table(Table("", "", headings, rows, names=3))


def _gate(gate: Record) -> Iterator[str]:
    yield f"hpip chooses {gate['engine']}: {gate['reason']}. Program: {gate['program']}; " + (
        f"{gate['program_reason']}."
    )
    if not gate["complete"]:
        yield "The time limit (`--tune-budget`) was too short to try every engine."
    headings = (
        *("engine", "version", "state", "accuracy or reason", "latency (ms)"),
        "speed-up over plain Paddle",
    )
    plain_ms = gate["plain_paddle_ms"]
    reference = ("plain Paddle", "", "reference", "", milliseconds(plain_ms), _points(1.0))
    rows = [reference, *map(_trial_row, gate["trials"])]
    yield markdown_table(Table("", "", headings, rows, names=4))


def _trial_row(trial: Record) -> tuple[str, ...]:
    return (
        trial["engine"],
        trial["version"],
        trial["state"],
        trial["accuracy"] or trial["reason"],
        milliseconds(trial["time_ms"]),
        _points(trial["speed_up"]),
    )


_AP_HEADINGS = ("engine", "mask AP", "published", "difference", "box AP", "images", "failed")


def _precision_rows(record: Record) -> Iterator[tuple[str, ...]]:
    published = record.get("published_mask_ap")
    chosen = _chosen_step(record)
    for step in record["steps"]:
        found = _done(record, step)
        if not step.startswith(AP) or not found:
            continue
        engine = step.removeprefix(AP)
        name = "plain Paddle, original graph" if engine == ORIGINAL else engine
        mask_ap = found["mask_ap"]
        known = mask_ap is not None and published is not None and _is_comparable(found)
        yield (
            name + (" (chosen by hpip)" if step == chosen else ""),
            _percent(mask_ap),
            _points(published),
            f"{100 * mask_ap - published:+.1f}" if known else NOTHING,
            _percent(found["box_ap"]),
            str(found["images"]),
            str(len(found["failed_images"])),
        )


def _chosen_step(record: Record) -> str:
    """The step with the mask AP of the engine that hpip chooses; empty if unknown."""
    gate = _done(record, "gate")
    if not gate:
        return ""
    is_original = gate["program"] == "untouched" and gate["backend"] == PADDLE
    return AP + (ORIGINAL if is_original else gate["backend"])


def _is_comparable(found: Record) -> bool:
    return (found["annotations"], found["images"]) == (PUBLISHED_ON, PUBLISHED_IMAGES)


def _dataset_note(content: Record) -> str:
    """A note if mask AP is missing, or of other images than the published value."""
    if content["settings"]["coco"] is None:
        return "Mask AP was not measured, because `--coco` was not given."
    for record in content["models"]:
        steps = (_done(record, step) for step in record["steps"] if step.startswith(AP))
        for found in filter(None, steps):
            if not _is_comparable(found):
                return (
                    f"**Mask AP is for {found['images']} images of {found['annotations']}. The "
                    f"published values are for all {PUBLISHED_IMAGES} images of {PUBLISHED_ON} and "
                    "cannot be compared with it.**"
                )
    return ""


def _stock_report(record: Record) -> Report | None:
    """The report of `hpip bench`; its rows get the official name, to which the goals refer."""
    content = _done(record, "stock").get("report")
    if content is None:
        return None
    with tempfile.TemporaryDirectory(prefix="hpip-official-") as folder:
        path = Path(folder) / "bench.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        report = load_report(path)
    for row in report.rows:
        row.model = record["name"]
    return report


def _speed_up(record: Record) -> str:
    report = _stock_report(record)
    rows = [row for row in report.rows if row.backend == AUTO] if report else []
    ratio = rows[0].speedup_paddlex if rows else None
    return NOTHING if ratio is None else f"{ratio:.1f}"


def _done(record: Record, step: str) -> Record:
    found: Record = record["steps"].get(step, {})
    return found if found.get("state") == DONE else {}


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.1f}"


def _points(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"
