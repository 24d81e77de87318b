# SPDX-License-Identifier: Apache-2.0
"""The metrics of an evaluation as Rich tables."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.console import OverflowMethod
from rich.table import Table
from rich.text import Text

from hpip.evaluation import METRICS, Evaluation, OperatingPoint, RegionScores
from hpip.evaluation import metric_differences as differences_of


def metric_table(evaluation: Evaluation, reference: Evaluation | None) -> Table:
    """Table of mask and box metrics; with a reference, also its metrics and the differences."""
    others = [] if reference is None else ["plain", "diff."]
    table = _table("", "masks", *others, "boxes", *others)
    differences = None if reference is None else differences_of(evaluation, reference)
    for name in (*METRICS, "best_F1", "F1_at_0.5"):
        row = [name.replace("_", " ")]
        for region in ("masks", "boxes"):
            row.append(_number(_figure(getattr(evaluation, region), name)))
            if reference is not None and differences is not None:
                row.append(_number(_figure(getattr(reference, region), name)))
                row.append(_number(differences[region][name], "+.4f"))
        table.add_row(*row)
    return table


def class_table(evaluation: Evaluation) -> Table:
    """Table of the mask metrics of each class with instances in the dataset, and of all classes."""
    table = _table(
        "class (masks)",
        "instances",
        "AP",
        "AP50",
        "F1 at 0.5",
        "best F1",
        "at threshold",
        overflow="fold",
    )
    for one in evaluation.masks.classes:
        if one.instances:
            table.add_row(
                Text(one.name),
                str(one.instances),
                _number(one.ap),
                _number(one.ap50),
                *_points(one.f1_at_half, one.best_f1),
            )
    masks = evaluation.masks
    table.add_row(
        "all",
        str(sum(one.instances for one in masks.classes)),
        _number(masks.metrics["AP"]),
        _number(masks.metrics["AP50"]),
        *_points(masks.f1_at_half, masks.best_f1),
    )
    return table


def _table(first: str, *others: str, overflow: OverflowMethod = "ellipsis") -> Table:
    table = Table(box=SIMPLE)
    table.add_column(first, overflow=overflow, no_wrap=overflow != "fold")
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _figure(scores: RegionScores, name: str) -> float | None:
    if name == "best_F1":
        return scores.best_f1.f1
    if name == "F1_at_0.5":
        return scores.f1_at_half.f1
    return scores.metrics[name]


def _points(at_half: OperatingPoint | None, best: OperatingPoint | None) -> list[str]:
    if at_half is None or best is None:
        return ["-", "-", "-"]
    return [_number(at_half.f1), _number(best.f1), _number(best.score_threshold, ".2f")]


def _number(value: float | None, form: str = ".4f") -> str:
    return "-" if value is None else format(value, form)
