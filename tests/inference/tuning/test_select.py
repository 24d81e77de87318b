# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import sys
from dataclasses import replace
from subprocess import run

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpip.common.devices import Device
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.race import RaceResult
from hpip.inference.tuning.ranking import Speed
from hpip.inference.tuning.records import (
    Trial,
    Verdict,
    engine_rows,
    label,
    to_json,
    trial_from_json,
    verdict_from_json,
)
from hpip.inference.tuning.select import select

CPU = Device("cpu")
BASELINE = Engine("paddle", CPU, 2)
STATES = (
    "verified", "wrong", "absent", "crashed", "hung", "out of memory",
    "refused", "failed", "unfinished",
)  # fmt: skip

engines = st.builds(
    Engine,
    backend=st.sampled_from(["onnxruntime", "openvino", "paddle_onednn", "paddle"]),
    device=st.just(CPU),
    threads=st.integers(1, 8),
    precision=st.sampled_from(["fp32", "bf16"]),
    settings=st.dictionaries(st.sampled_from(["hint", "layout"]), st.integers(0, 2), max_size=1),
)
trials = st.lists(
    st.builds(
        Trial,
        engine=engines.filter(lambda engine: engine != BASELINE),
        version=st.just("1"),
        state=st.sampled_from(STATES),
        reason=st.text(max_size=5),
        time_ms=st.none() | st.floats(1, 1e4),
        cpu_ms=st.floats(1, 1e4),
        allowed_s=st.floats(0, 100),
        ended_at=st.floats(0, 1e9),
        crashes=st.integers(0, 2),
    ),
    max_size=6,
    unique_by=lambda trial: label(trial.engine),
)


BASELINE_SPEED = Speed(100.0, 200.0)


def races(tried: list[Trial]) -> st.SearchStrategy[RaceResult]:
    valid = [trial.engine for trial in tried if trial.state == "verified" and trial.time_ms]
    return st.builds(
        RaceResult,
        winner=st.sampled_from([BASELINE, *valid]),
        baseline=st.none() | st.just(BASELINE_SPEED),
        metric=st.sampled_from(["latency", "CPU time"]),
        provisional=st.sampled_from(["", "the machine is busy; provisional"]),
    )


@given(trials.flatmap(lambda tried: st.tuples(st.just(tried), races(tried))), st.data())
def test_every_engine_is_chosen_or_rejected_with_a_reason(both, data) -> None:
    tried, race = both
    untried = data.draw(st.lists(engines, max_size=2))
    selection = select(BASELINE, tried, race, untried)
    assert selection.engine == race.winner
    rejected = dict(selection.rejected)
    for engine in [BASELINE, *(trial.engine for trial in tried)]:
        assert engine == selection.engine or label(engine) in rejected or engine == BASELINE
    assert {label(engine) for engine in untried} <= {label(selection.engine), *rejected}
    assert race.provisional in selection.reason
    for engine in untried:
        assert engine.backend in selection.reason
    assert all(rejected.values())
    assert "  " not in selection.reason.replace(race.provisional, "")


@given(trials.flatmap(lambda tried: st.tuples(st.just(tried), races(tried))))
def test_records_survive_the_cache(both) -> None:
    tried, race = both
    selection = select(BASELINE, tried, race)
    verdict = Verdict(
        "cut",
        "why",
        selection,
        tuple(tried),
        3.0,
        4.0,
        race.metric,
        race.provisional,
        ("openvino",),
        7.0,
        60.0,
    )
    assert verdict_from_json(json.loads(json.dumps(to_json(verdict)))) == verdict
    for trial in tried:
        assert trial_from_json(json.loads(json.dumps(to_json(trial)))) == trial


@given(trials.flatmap(lambda tried: st.tuples(st.just(tried), races(tried))))
def test_the_ratio_in_words_is_that_of_the_times(both) -> None:
    tried, race = both
    race = replace(race, baseline=BASELINE_SPEED)
    verdict = Verdict(
        "cut", "why", select(BASELINE, tried, race), tuple(tried), 100.0, 200.0, race.metric
    )
    for row in engine_rows(verdict, BASELINE):
        if row.trial is None or row.trial.state != "verified" or row.time_ms is None:
            continue
        own, baseline = (row.time_ms, 100.0) if race.metric == "latency" else (row.cpu_ms, 200.0)
        assert row.speedup == pytest.approx(baseline / own)
        assert f"{baseline / own:.2f} times as fast as plain Paddle" in row.reason


def test_no_ratio_is_told_where_plain_paddle_was_not_timed() -> None:
    engine = Engine("openvino", CPU, 2)
    trial = Trial(engine, "1", "verified", "valid results", 5.0, 10.0)
    selection = select(BASELINE, [trial], RaceResult(engine, None))
    assert selection.reason == "valid results"
    assert selection.rejected == ((label(BASELINE), "baseline"),)


def test_an_engine_without_a_time_is_rejected_for_that() -> None:
    engine = Engine("openvino", CPU, 2)
    trial = Trial(engine, "1", "verified", "right")
    selection = select(BASELINE, [trial], RaceResult(BASELINE, BASELINE_SPEED))
    assert "could not time it" in dict(selection.rejected)[label(engine)]


def test_a_budget_that_ended_says_what_was_not_tried_and_what_to_run() -> None:
    untried = [Engine("openvino", CPU, 2), Engine("paddle_onednn", CPU, 2)]
    selection = select(BASELINE, [], RaceResult(BASELINE), untried)
    assert selection.engine == BASELINE
    assert "no other engine was tried" in selection.reason
    assert "before openvino, paddle_onednn could be tried: run `hpip tune`" in selection.reason
    assert selection.rejected == (
        ("openvino, 2 threads", "not tried yet"),
        ("paddle_onednn, 2 threads", "not tried yet"),
    )


def test_choosing_imports_no_engine() -> None:
    code = (
        "import hpip.inference.tuning.select, sys;"
        "sys.exit(bool({'paddle', 'onnxruntime', 'openvino'} & set(sys.modules)))"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0
