# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
import random
import sys
from subprocess import run

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpip.common.devices import Device
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.records import (
    Trial,
    Verdict,
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
    "refused", "unfinished",
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
        time_ms=st.none() | st.floats(0, 1e4),
        ratio=st.none() | st.floats(allow_nan=True, allow_infinity=True),
        allowed_s=st.floats(0, 100),
    ),
    max_size=6,
    unique_by=lambda trial: label(trial.engine),
)


@given(trials)
def test_only_a_verified_engine_that_is_faster_than_plain_paddle_wins(tried) -> None:
    chosen = select(BASELINE, tried).engine
    if chosen == BASELINE:
        return
    (trial,) = [trial for trial in tried if trial.engine == chosen]
    assert trial.state == "verified"
    assert trial.ratio is not None
    assert trial.ratio < 1


@given(trials)
def test_no_other_right_engine_is_much_faster_than_the_choice(tried) -> None:
    chosen = select(BASELINE, tried).engine
    ratios = {label(t.engine): t.ratio for t in tried if t.state == "verified"}
    mine = 1.0 if chosen == BASELINE else ratios[label(chosen)]
    for ratio in ratios.values():
        if ratio is not None and ratio > 0:
            assert ratio >= 0.9 * mine


@given(trials, st.lists(engines, max_size=2))
def test_every_engine_is_chosen_or_rejected_with_a_reason(tried, untried) -> None:
    selection = select(BASELINE, tried, untried)
    rejected = dict(selection.rejected)
    for engine in [BASELINE, *(trial.engine for trial in tried)]:
        assert (engine == selection.engine) != (label(engine) in rejected)
    assert {label(engine) for engine in untried} <= {label(selection.engine), *rejected}
    assert selection.reason
    assert all(rejected.values())


@given(trials)
def test_the_choice_depends_on_nothing_else(tried) -> None:
    first = select(BASELINE, tried)
    random.random()
    assert select(BASELINE, list(tried)) == first


@given(trials)
def test_without_a_valid_engine_plain_paddle_runs(tried) -> None:
    wrong = [trial for trial in tried if trial.state != "verified"]
    assert select(BASELINE, wrong).engine == BASELINE


@given(trials)
def test_records_survive_the_cache(tried) -> None:
    tried = [trial for trial in tried if trial.ratio is None or trial.ratio == trial.ratio]
    verdict = Verdict("cut", "why", select(BASELINE, tried), tuple(tried), 3.0)
    assert verdict_from_json(json.loads(json.dumps(to_json(verdict)))) == verdict
    for trial in tried:
        assert trial_from_json(json.loads(json.dumps(to_json(trial)))) == trial


def test_of_two_equally_fast_engines_the_one_that_stands_first_wins() -> None:
    def trial(backend: str, ratio: float) -> Trial:
        return Trial(Engine(backend, CPU, 2), "1", "verified", "right", 10.0, ratio)

    first, second = trial("openvino", 0.20), trial("onnxruntime", 0.195)
    assert select(BASELINE, [first, second]).engine.backend == "openvino"
    assert select(BASELINE, [second, first]).engine.backend == "onnxruntime"
    assert select(BASELINE, [first, trial("onnxruntime", 0.15)]).engine.backend == "onnxruntime"


@pytest.mark.parametrize("ratio", [None, 0.0, math.nan, math.inf])
def test_an_engine_without_a_time_is_rejected_for_that(ratio: float | None) -> None:
    engine = Engine("openvino", CPU, 2)
    selection = select(BASELINE, [Trial(engine, "1", "verified", "right", None, ratio)])
    assert selection.engine == BASELINE
    assert "could not time it" in dict(selection.rejected)[label(engine)]


def test_choosing_imports_no_engine() -> None:
    code = (
        "import hpip.inference.tuning.select, sys;"
        "sys.exit(bool({'paddle', 'onnxruntime', 'openvino'} & set(sys.modules)))"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0
