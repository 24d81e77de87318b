# SPDX-License-Identifier: Apache-2.0
"""Whatever an engine does, users get results that match plain Paddle's, and an explanation."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE, Popen

import numpy as np
import pytest

import hpip
from hpip.backends.paddle import nearest_device
from hpip.common import interpreter
from hpip.common.cache import Cache
from hpip.common.devices import Device
from hpip.errors import BackendError, BackendUnavailableError
from hpip.inference.execution.plan import OriginalPlan
from hpip.inference.execution.postprocess import InstanceFilter
from hpip.inference.execution.runner import Engine, Runner
from hpip.inference.tuning import candidates
from hpip.inference.tuning.budget import Limits
from hpip.inference.tuning.candidates import EngineOptions
from hpip.inference.tuning.choose import choose
from hpip.inference.tuning.tune import tune
from hpip.model.spec import load_model_spec
from tests.inference.tuning.bad_backends import PickyBackend
from tests.inference.tuning.conftest import ROOT, Register, request_for
from tests.pictures import rectangles

RED, BLUE = (16, 8, 64, 40), (64, 64, 120, 100)
PICTURE = rectangles(128, 128, red=RED, blue=BLUE)
PICTURES = [PICTURE, rectangles(128, 128, green=(0, 0, 64, 64))]


def tuned(model_dir: Path, limits: Limits = Limits(300)):  # noqa: B008 - frozen
    return tune(request_for(model_dir), limits=limits, images=PICTURES).verdict


@pytest.mark.parametrize(
    ("installed", "gpus", "expected"),
    [
        (["onnxruntime-gpu"], 1, "cpu"),
        (["tensorrt"], 1, "cpu"),
        (["onnxruntime-gpu", "paddlepaddle-gpu"], 1, "gpu:0"),
        ([], 1, "gpu:0"),
        (["onnxruntime-gpu"], 0, "gpu:0"),
    ],
)
def test_paddle_stands_beside_a_gpu_engine_where_it_can(
    installed: list[str], gpus: int, expected: str
) -> None:
    assert str(nearest_device(Device("gpu"), installed, gpus)) == expected
    assert nearest_device(Device("xpu", 1), installed, gpus) == Device("xpu", 1)


@pytest.mark.parametrize("engine", ["gpu_only", "wrong"])
def test_a_gpu_without_paddles_build_for_it_is_used(
    only: Register,
    tiny_model_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    engine: str,
) -> None:
    """Results are compared with plain Paddle's on the CPU, which runs if no engine is valid."""
    only(engine)
    monkeypatch.setattr(candidates, "plain_paddle_device", lambda device: Device("cpu"))
    choice = choose(load_model_spec(tiny_model_dir), Device("gpu"), use_hpip=True, threads=1)
    assert choice.fallback == Engine("paddle", Device("cpu"), 1)
    if engine == "gpu_only":
        assert choice.engine.backend == "gpu_only"
        assert str(choice.engine.device) == "gpu:0"
    else:
        assert choice.engine == choice.fallback
        assert "runs on cpu instead of gpu:0" in caplog.text
        assert "wrong, 1 thread: not available: " in caplog.text


@pytest.fixture
def step_of_a_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    from hpip.inference.tuning import trial

    monkeypatch.setattr(trial, "_FIRST_RUN_S", 8.0)


@pytest.mark.usefixtures("step_of_a_few_seconds")
def test_each_kind_of_failure_is_told_from_the_others(only: Register, tiny_model_dir: Path) -> None:
    expected = {
        "crashing": ("crashed", "SIGABRT"),
        "crashing_at_open": ("crashed", "SIGABRT"),
        "hanging": ("hung", "no result within"),
        "wrong": ("wrong", "mask IoU"),
        "empty": ("wrong", "missing"),
        "greedy": ("out of memory", "stopped at"),
        "out_of_memory": ("out of memory", "Unable to allocate"),
        "refusing": ("refused", "pd_op.while"),
        "absent": ("absent", "not installed"),
    }
    only(*expected)
    verdict = tuned(tiny_model_dir, Limits(600, memory_bytes=600_000_000))
    assert verdict.selection.engine.backend == "paddle"
    rejected = {name.split(",")[0]: reason for name, reason in verdict.selection.rejected}
    for trial in verdict.trials:
        state, evidence = expected[trial.engine.backend]
        assert trial.state == state, trial
        assert evidence in trial.reason
        assert rejected[trial.engine.backend] == trial.outcome
    assert len(verdict.trials) == len(expected)


def test_a_fast_right_engine_serves_beside_bad_ones(only: Register, tiny_model_dir: Path) -> None:
    only("crashing", "wrong", "fast")
    verdict = tuned(tiny_model_dir)
    assert verdict.selection.engine.backend == "fast"
    assert verdict.baseline_ms is not None
    (fast,) = [trial for trial in verdict.trials if trial.engine.backend == "fast"]
    assert fast.time_ms < verdict.baseline_ms
    assert verdict.speedup(fast.time_ms, fast.cpu_ms) > 1
    assert fast.peak_rss_bytes > 1e7
    with hpip.create_pipeline(model_dir=tiny_model_dir, device="cpu", threads=1) as pipeline:
        (result,) = pipeline.predict(PICTURE)
        assert result.boxes_xyxy.tolist() == [list(RED), list(BLUE)]
        text = pipeline.explain()
    table = text.split("\n\n")[1].splitlines()
    assert [line.split(",")[0] for line in table[1:]] == ["fast", "crashing", "wrong", "paddle"]
    assert [line.split()[3] for line in table[1:]] == ["chosen", "rejected", "rejected", "rejected"]
    for line, reason in zip(
        table[1:],
        (
            "same results as plain Paddle",
            "crashed: process ended by SIGABRT",
            "its results differ from plain Paddle's: ",
            "baseline; the chosen engine is ",
        ),
        strict=True,
    ):
        assert reason in line
    assert "1.00x" in table[-1]


def test_an_engine_that_is_not_faster_does_not_serve(
    only: Register, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpip.inference.tuning import ranking

    only("good")
    # The same engine twice differs by noise only, which on a busy machine may be anything.
    monkeypatch.setattr(ranking, "_SAME", 0.2)
    verdict = tuned(tiny_model_dir)
    assert verdict.selection.engine.backend == "paddle"
    reason = dict(verdict.selection.rejected)["good, 1 thread"]
    assert reason.startswith("valid results, but not reliably faster: ")


def test_the_second_start_reads_the_verdict(
    only: Register, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpip.inference.tuning import child_process

    only("wrong")
    monkeypatch.setenv("HPIP_TUNE_BUDGET_S", "300")
    first = tune(request_for(tiny_model_dir)).verdict
    monkeypatch.setattr(child_process.subprocess, "Popen", None)
    assert tune(request_for(tiny_model_dir)).verdict == first


def test_budget_0_takes_the_first_right_engine_untimed(
    only: Register, tiny_model_dir: Path
) -> None:
    only("wrong", "fast", "hanging")
    verdict = tune(request_for(tiny_model_dir), limits=Limits(0), images=PICTURES).verdict
    assert [trial.state for trial in verdict.trials] == ["wrong", "verified"]
    assert verdict.selection.engine.backend in ("fast", "paddle")
    assert ("hanging, 1 thread", "not tried yet") in verdict.selection.rejected
    again = tune(request_for(tiny_model_dir), limits=Limits(0)).verdict
    assert again == verdict


def test_interrupted_tuning_goes_on_where_it_was(
    only: Register, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpip.inference.tuning import engine_trials

    only("wrong", "fast")
    real, tried = engine_trials.try_engine, []

    def interrupted(process, *rest):
        if len(tried) == 1:
            raise KeyboardInterrupt
        tried.append(process.engine.backend)
        return real(process, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(engine_trials, "try_engine", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tuned(tiny_model_dir)
    assert tried == ["wrong"]

    def counted(process, *rest):
        tried.append(process.engine.backend)
        return real(process, *rest)

    monkeypatch.setattr(engine_trials, "try_engine", counted)
    assert tuned(tiny_model_dir).selection.engine.backend == "fast"
    assert tried == ["wrong", "fast"]


def test_a_budget_that_ends_leaves_the_rest_to_a_later_start(
    only: Register, tiny_model_dir: Path
) -> None:
    only("fast", "refusing")
    request = request_for(tiny_model_dir)
    tuned(tiny_model_dir)
    only("fast", "refusing", "wrong")
    short = tune(request, limits=Limits(1e-6), images=PICTURES).verdict
    assert short.selection.engine.backend == "fast"
    assert ("wrong, 1 thread", "not tried yet") in short.selection.rejected
    assert "ended before wrong could be tried: run `hpip tune`" in short.selection.reason
    assert short.untried == ("wrong, 1 thread",)
    assert short.is_due(1e-6)
    later = tuned(tiny_model_dir)
    assert later.untried == ()


@pytest.mark.parametrize("python", ["/bin/false", "/gone/python3"])
def test_a_child_that_can_not_start_is_not_remembered(
    only: Register, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    only("fast")
    with monkeypatch.context() as embedded:
        embedded.setattr(interpreter, "find_interpreter", lambda: python)
        for _ in range(5):
            verdict = tuned(tiny_model_dir)
            assert (verdict.program, verdict.complete) == ("untouched", False)
            assert "no child process could be started" in verdict.program_reason
    assert tuned(tiny_model_dir).selection.engine.backend == "fast"


def test_a_frozen_application_tries_engines_in_its_own_process(
    only: Register, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("fast", "wrong")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    verdict = tuned(tiny_model_dir)
    assert verdict.selection.engine.backend == "fast"
    assert {trial.engine.backend: trial.state for trial in verdict.trials}["wrong"] == "wrong"


def test_a_damaged_verdict_is_made_anew(
    only: Register, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("wrong")
    monkeypatch.setenv("HPIP_TUNE_BUDGET_S", "300")
    first = tune(request_for(tiny_model_dir)).verdict
    cache = Cache()
    (entry,) = [entry for entry in cache.entries() if entry.title.endswith(", engine")]
    (entry.folder / "index.json").write_text('{"files": {}, "record": {"verdict": {"oops": 1}}}')
    assert tune(request_for(tiny_model_dir)).verdict.selection == first.selection
    (entry.folder / "index.json").write_bytes(b"\x00")
    assert tune(request_for(tiny_model_dir)).verdict.selection == first.selection


def test_an_engine_that_breaks_later_costs_no_answer(
    only: Register, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("later_broken")
    tuned(tiny_model_dir)
    with hpip.create_predictor(model_dir=tiny_model_dir, device="cpu", threads=1) as predictor:
        assert "later_broken" in predictor.explain().split("engine: ")[1]
        monkeypatch.setenv("HPIP_TEST_BROKEN", "1")
        (result,) = predictor.predict(PICTURE)
    assert result.boxes_xyxy.tolist() == [list(RED), list(BLUE)]


def test_a_named_engine_works_or_says_why_not(only: Register, tiny_model_dir: Path) -> None:
    spec = load_model_spec(tiny_model_dir)
    only("good", "absent", "crashing", "refusing")

    def named(backend: str):
        options = EngineOptions(backend=backend)
        return choose(spec, Device("cpu"), use_hpip=True, threads=1, options=options)

    good = named("good")
    assert (good.engine.backend, good.fallback) == ("good", None)
    # It has no rivals, so that no start has to wait for a certain order.
    assert good.verdict.complete
    assert good.verdict.baseline_ms is None
    assert good.verdict.selection.engine == good.engine
    with pytest.raises(BackendUnavailableError, match="absent: the engine is not installed"):
        named("absent")
    with pytest.raises(BackendError, match=r"crashing failed to verify: .*SIGABRT"):
        named("crashing")
    with pytest.raises(BackendError, match=r"refusing failed to open: .*pd_op\.while"):
        named("refusing")


def test_answers_are_compared_not_only_counted(only: Register, tiny_model_dir: Path) -> None:
    only("fast")
    nothing = np.zeros((64, 64, 3), np.uint8)
    verdict = tune(request_for(tiny_model_dir), limits=Limits(300), images=[nothing]).verdict
    assert verdict.selection.engine.backend == "paddle"
    assert verdict.trials[0].state == "wrong"
    assert "no instances in the images" in verdict.trials[0].reason


def test_processes_that_tune_at_once_do_the_work_once(tiny_model_dir: Path, tmp_path: Path) -> None:
    code = (
        "import logging, sys; logging.basicConfig(level='INFO', stream=sys.stdout);"
        "from tests.inference.tuning.test_tune import *;"
        "from hpip.backends import registry; from hpip.inference.tuning import candidates;"
        "from tests.inference.tuning.conftest import BAD;"
        "registry._BACKENDS = {'paddle': registry.backend_path('paddle'), 'wrong': BAD['wrong']};"
        "candidates._shipped = lambda: {'order': {'cpu': ['wrong']}, 'settings': {}};"
        f"print(tune(request_for(Path({str(tiny_model_dir)!r})), limits=Limits(300)).verdict)"
    )
    processes = [
        Popen([sys.executable, "-c", code], stdout=PIPE, text=True, cwd=ROOT) for _ in range(3)
    ]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len({output.splitlines()[-1] for output in outputs}) == 1
    assert sum(output.count("trying wrong") for output in outputs) == 1


def test_segments_that_an_engine_refuses_stay_on_plain_paddle(
    only: Register, tiny_model_dir: Path
) -> None:
    only("picky")
    spec = load_model_spec(tiny_model_dir)
    (whole,) = OriginalPlan(spec).steps
    plan = OriginalPlan(spec)
    plan.steps = (whole, replace(whole, name="again"))
    engine = Engine("picky", Device("cpu"), 1)
    PickyBackend.opened = 0
    runner = Runner(plan, spec.preprocess, engine)
    assert list(runner.refused) == ["again"]
    (found,) = runner.infer([PICTURE], InstanceFilter(0.5))
    assert found.boxes_xyxy.tolist() == [list(RED), list(BLUE)]
    PickyBackend.opened = 0
    with pytest.raises(BackendError, match="only one"):
        Runner(plan, spec.preprocess, replace(engine, takes_all=True))
    PickyBackend.opened = 1
    with pytest.raises(BackendError, match="only one"):
        Runner(OriginalPlan(spec), spec.preprocess, engine)


def test_a_precision_that_no_engine_has_is_an_error_and_a_missed_gate_is_not(
    only: Register, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPIP_TUNE_BUDGET_S", "300")
    spec, options = load_model_spec(tiny_model_dir), EngineOptions(precision="int8")

    def chosen():
        return choose(spec, Device("cpu"), use_hpip=True, threads=1, options=options)

    only("refusing")
    with pytest.raises(
        BackendUnavailableError, match=r"precision int8: no installed engine supports it"
    ):
        chosen()
    only("wrong")
    found = chosen()
    assert found.engine.backend == "paddle"
    assert found.verdict.trials[0].engine.precision == "int8"
    assert found.verdict.trials[0].state == "wrong"
