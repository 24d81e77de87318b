# SPDX-License-Identifier: Apache-2.0
"""The goals against stock PaddleX, compared with made-up reports."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("yaml", reason="the benchmarks read YAML")

from benchmarks.stock.__main__ import wanted
from benchmarks.stock.goals import (
    DEFAULT,
    GOALS,
    PLAIN,
    SUITES,
    THRESHOLD,
    Goal,
)
from benchmarks.stock.table import goal_table
from hpip.bench.contender import AUTO, Contender, Workload
from hpip.bench.record import WRONG, Report, Row

MODEL = "Mask-RT-DETR-M"
MET = Goal(MODEL, speed_up=8, rss_share=0.6)


def row(backend: str, p50_ms: float | None, peak_gb: float, **figures: Any) -> Row:
    workload = Workload(MODEL, image_hw=(1080, 1920), threads=2, threshold=THRESHOLD)
    peak = int(peak_gb * 1e9)
    return Row.of(Contender(workload, backend), p50_ms=p50_ms, peak_rss_bytes=peak, **figures)


def cells(goal: Goal, *rows: Row) -> dict[str, str]:
    report = Report("now", False, {}, {}, [], list(rows))
    table = goal_table([goal], [report])
    (only,) = table.rows
    return dict(zip(table.headings, only, strict=True))


def test_a_goal_is_met_if_speed_and_memory_are() -> None:
    own = row(AUTO, 1000.0, 1.0)
    found = cells(MET, own, row(DEFAULT, 8000.0, 2.0))
    assert found["speed (goal)"] == "speed-up 8 (at least 8)"
    assert found["peak RSS (goal)"] == "0.5 x PaddleX's (at most 0.6)"
    assert found["goal met"] == "yes"
    slower = cells(MET, own, row(DEFAULT, 7900.0, 2.0))
    assert (slower["speed (goal)"], slower["goal met"]) == ("speed-up 7.9 (at least 8)", "no")
    larger = cells(MET, own, row(DEFAULT, 8000.0, 1.5))
    assert larger["peak RSS (goal)"] == "0.667 x PaddleX's (at most 0.6)"
    assert larger["goal met"] == "no"


def test_a_default_without_a_time_meets_nothing() -> None:
    own = row(AUTO, 1000.0, 1.0)
    found = cells(MET, own, row(DEFAULT, None, 0.1, state=WRONG), row(PLAIN, 9000.0, 2.0))
    assert (found["PaddleX, run_mode paddle (ms)"], found["goal met"]) == ("9,000", "no")


def test_plain_paddle_is_shown_beside_the_default() -> None:
    found = cells(MET, row(AUTO, 1e3, 1.0), row(DEFAULT, 8e3, 2.0), row(PLAIN, 9e3, 2.0))
    assert found["PaddleX (ms)"] == "8,000"
    assert found["PaddleX, run_mode paddle (ms)"] == "9,000"
    assert found["speed (goal)"] == "speed-up 8 (at least 8)"


def test_wrong_results_meet_nothing() -> None:
    own = row(AUTO, None, 1.0, state=WRONG)
    found = cells(MET, own, row(DEFAULT, 8000.0, 2.0))
    assert (found["hpip (ms)"], found["results"], found["goal met"]) == ("-", WRONG, "no")


def test_seconds_and_arithmetic_need_no_other_side() -> None:
    goal = Goal(MODEL, latency_s=2, arithmetic=1.4, rss_gb=1)
    found = cells(goal, row(AUTO, 1500.0, 0.9, peak_share=0.8))
    speed = "1.5 s (at most 2); 1.25 x a matrix product's time (at most 1.4)"
    assert found["speed (goal)"] == speed
    assert (found["peak RSS (goal)"], found["goal met"]) == ("0.9 GB (at most 1)", "yes")
    assert cells(goal, row(AUTO, 1500.0, 0.9))["goal met"] == "no"


def test_a_model_that_was_not_measured_has_no_row() -> None:
    report = Report("now", False, {}, {}, [], [])
    assert goal_table(GOALS, [report]).rows == []


def test_every_goal_is_measured_by_a_suite() -> None:
    measured = {(model, size) for suite in SUITES for model in suite.models for size in suite.sizes}
    assert measured == {(goal.model, goal.size) for goal in GOALS}


def test_models_and_suites_narrow_down_what_is_measured() -> None:
    every = [model for _, model in wanted(None, None)]
    assert sorted(every) == sorted({goal.model for goal in GOALS})
    assert [model for _, model in wanted(["onednn"], None)] == [
        f"Mask-RT-DETR-{size}" for size in "LXH"
    ]
    ((suite, model),) = wanted(None, ["Mask-RT-DETR-H"])
    assert (suite.name, model) == ("onednn", "Mask-RT-DETR-H")
    assert not list(wanted(["plain"], ["Mask-RT-DETR-H"]))
