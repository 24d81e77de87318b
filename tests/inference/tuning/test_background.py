# SPDX-License-Identifier: Apache-2.0
"""A model serves at once, and changes to the winner when tuning in the background has found it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

import hpip
from hpip.backends import registry
from hpip.common.cache import Cache
from hpip.common.devices import Device
from hpip.common.timing import Stopwatch
from hpip.errors import InvalidInputError
from hpip.inference.execution.plan import OriginalPlan
from hpip.inference.execution.postprocess import InstanceFilter
from hpip.inference.execution.runner import Engine
from hpip.inference.fallback import FallbackRunner
from hpip.inference.tuning import background, choose
from hpip.inference.tuning.background import BackgroundTuning
from hpip.inference.tuning.budget import Limits
from hpip.inference.tuning.choose import Choice, choice_of
from hpip.inference.tuning.records import Trial
from hpip.inference.tuning.tune import tune
from hpip.model.spec import load_model_spec
from tests.inference.tuning.conftest import BAD, ROOT, Register, request_for
from tests.pictures import rectangles

RED = (16, 8, 64, 40)
IMAGE = rectangles(128, 128, red=RED)
TRIAL = Trial(Engine("fast", Device("cpu"), 1), "1.0", "wrong", "it differs")
WAIT_S = 240.0


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def in_background(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time to tune at the first start, and an engine to find later."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HPIP_TUNE_BACKGROUND", "1")
    monkeypatch.setenv("HPIP_TUNE_BUDGET_S", "0.001")
    known = {name: registry.backend_path(name) for name in registry.backend_names()}
    monkeypatch.setattr(registry, "_BACKENDS", {**known, "fast": BAD["fast"]})


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Popen]]:
    """The child processes of background tuning that were started."""
    found: list[Popen] = []

    def popen(command: list[str], *arguments, **options) -> Popen:
        process = Popen(command, *arguments, **options)
        if any("background_main" in part for part in command):
            found.append(process)
        return process

    monkeypatch.setattr(background.subprocess, "Popen", popen)
    yield found
    for process in found:
        process.kill()


def predictor_of(model_dir: Path) -> hpip.Predictor:
    return hpip.create_predictor(model_dir=model_dir, device="cpu", threads=1)


@pytest.mark.usefixtures("in_background")
def test_it_serves_at_once_and_changes_between_two_images(
    tiny_model_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with predictor_of(tiny_model_dir) as predictor:
        first = predictor.engine.backend
        wait_for(lambda: _boxes(predictor) == [list(RED)] and predictor.engine.backend == "fast")
        assert first == "paddle"
        assert _boxes(predictor) == [list(RED)]
        table = predictor.explain().split("\n\n")[1].splitlines()
        assert table[1].startswith("fast, 1 thread")
    told = [text for text in caplog.messages if "runs on fast, 1 thread from now on" in text]
    assert len(told) == 1
    with predictor_of(tiny_model_dir) as predictor:
        assert predictor.engine.backend == "fast"


def _boxes(predictor: hpip.Predictor) -> list[list[float]]:
    (result,) = predictor.predict(IMAGE)
    return result.boxes_xyxy.tolist()


@pytest.mark.parametrize(
    ("variable", "value"), [("HPIP_TUNE_BACKGROUND", "0"), ("HPIP_TUNE_BUDGET_S", "0")]
)
@pytest.mark.usefixtures("in_background")
def test_it_can_be_turned_off(
    tiny_model_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    started: list[Popen],
    variable: str,
    value: str,
) -> None:
    monkeypatch.setenv(variable, value)
    with predictor_of(tiny_model_dir):
        assert not started


@pytest.mark.usefixtures("in_background")
def test_it_has_no_work_after_a_certain_verdict(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch, started: list[Popen]
) -> None:
    monkeypatch.setenv("HPIP_TUNE_BUDGET_S", "300")
    with predictor_of(tiny_model_dir) as predictor:
        certain = predictor.choice.verdict.complete
    started.clear()
    monkeypatch.setenv("HPIP_TUNE_BUDGET_S", "0.001")
    with predictor_of(tiny_model_dir):
        assert not certain or not started


@pytest.mark.parametrize("text", ["", "yes", "2"])
def test_a_wrong_value_is_an_error(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("HPIP_TUNE_BACKGROUND", text)
    with pytest.raises(InvalidInputError, match="HPIP_TUNE_BACKGROUND: expected 0 or 1"):
        predictor_of(tiny_model_dir)


@pytest.mark.usefixtures("in_background")
def test_the_child_has_the_lowest_priority_and_ends_with_close(
    tiny_model_dir: Path, started: list[Popen]
) -> None:
    tuning = BackgroundTuning(request_for(tiny_model_dir), Cache(), lambda _: None)
    wait_for(lambda: bool(started))
    (process,) = started
    wait_for(lambda: os.getpriority(os.PRIO_PROCESS, process.pid) == 19)
    wait_for(lambda: os.sched_getscheduler(process.pid) == os.SCHED_IDLE)
    tuning.close()
    tuning.close()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.usefixtures("in_background")
def test_no_child_outlives_its_parent(tiny_model_dir: Path, fresh_cache: Path) -> None:
    code = (
        "import sys, time; from hpip.inference.tuning.background import BackgroundTuning;"
        "from hpip.common.cache import Cache; from pathlib import Path;"
        "from tests.inference.tuning.conftest import request_for;"
        f"b = BackgroundTuning(request_for(Path({str(tiny_model_dir)!r})), Cache(), print)\n"
        "while b._process is None: time.sleep(0.01)\n"
        "print(b._process.pid, flush=True); time.sleep(600)"
    )
    parent = Popen([sys.executable, "-c", code], stdout=PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    wait_for(lambda: not _is_running(child))


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.usefixtures("in_background")
def test_a_child_that_dies_leaves_the_choice(
    tiny_model_dir: Path, started: list[Popen], caplog: pytest.LogCaptureFixture
) -> None:
    with predictor_of(tiny_model_dir) as predictor:
        wait_for(lambda: bool(started))
        started[0].kill()
        wait_for(lambda: "in the background failed" in caplog.text)
        assert predictor.engine.backend == "paddle"
        assert _boxes(predictor) == [list(RED)]


@pytest.mark.usefixtures("in_background")
def test_a_result_without_a_trial_changes_nothing(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as that of a child which waited in vain for another process that tunes."""
    request = request_for(tiny_model_dir)
    unproven = tune(request, limits=Limits(0.001))
    present = choice_of(request, unproven)
    received: list[Choice] = []

    class Receiver:
        def take(self, choice: Choice) -> None:
            received.append(choice)

    receiver = Receiver()
    tried = replace(unproven, verdict=replace(unproven.verdict, trials=(TRIAL,)))
    for tuned, expected in ((unproven, 0), (tried, 1)):
        monkeypatch.setattr(
            choose, "BackgroundTuning", lambda _request, _cache, done, tuned=tuned: done(tuned)
        )
        choose.continue_tuning(present, receiver.take)
        assert len(received) == expected


def test_no_image_is_lost_while_the_engine_changes(only: Register, tiny_model_dir: Path) -> None:
    only("good", "fast")
    spec = load_model_spec(tiny_model_dir)
    baseline = Engine("paddle", Device("cpu"), 1)

    def choice(backend: str) -> Choice:
        return Choice(OriginalPlan(spec), Engine(backend, Device("cpu"), 1), baseline, "")

    runner = FallbackRunner(choice("good"), spec.preprocess, workers=2)
    stop, wrong, done = threading.Event(), [], []

    def predict() -> None:
        while not stop.is_set():
            (found,) = runner.infer([IMAGE], InstanceFilter(0.5), Stopwatch())
            (done if found.boxes_xyxy.tolist() == [list(RED)] else wrong).append(1)

    threads = [threading.Thread(target=predict) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(40):
        assert runner.switch(choice(("fast", "good")[number % 2]))
    stop.set()
    for thread in threads:
        thread.join()
    assert done
    assert not wrong
    assert not runner.switch(choice("good"))
    runner.close()
    assert not runner.switch(choice("fast"))
    assert runner.is_closed
