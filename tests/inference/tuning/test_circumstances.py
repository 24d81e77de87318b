# SPDX-License-Identifier: Apache-2.0
"""A failure of circumstance, such as a full disk, is not remembered as a property of an engine."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from hpip.common.devices import Device
from hpip.errors import BackendError
from hpip.inference.execution.plan import OriginalPlan
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning import records
from hpip.inference.tuning.budget import Limits
from hpip.inference.tuning.candidates import EngineOptions
from hpip.inference.tuning.child_main import TrialWorker, reply
from hpip.inference.tuning.choose import choose
from hpip.inference.tuning.records import RETRY_AFTER_S, Trial, Verdict
from hpip.inference.tuning.tune import tune
from hpip.model.spec import load_model_spec
from tests.inference.tuning.bad_backends import PickyBackend
from tests.inference.tuning.conftest import BAD, Register, request_for

LIMITS = Limits(300)


@pytest.fixture
def remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that makes the test backends work once it exists."""
    path = tmp_path / "remedy"
    monkeypatch.setenv("HPIP_TEST_FILE", str(path))
    monkeypatch.setenv("HPIP_TEST_SIGNAL", str(int(signal.SIGKILL)))
    return path


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = records.time.time()
    monkeypatch.setattr(records.time, "time", lambda: now + seconds)


def verdict_on(model_dir: Path) -> Verdict:
    return tune(request_for(model_dir), limits=LIMITS).verdict


def only_trial(verdict: Verdict) -> Trial:
    (trial,) = verdict.trials
    return trial


@pytest.mark.parametrize(
    ("backend", "state", "evidence"),
    [
        ("failing", "failed", "No space left"),
        ("broken", "failed", "libgomp"),
        ("unreadable", "failed", "FileNotFoundError"),
        ("killed", "out of memory", "killed by the system"),
    ],
)
def test_it_is_tried_again_after_an_hour(
    only: Register,
    tiny_model_dir: Path,
    remedy: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    state: str,
    evidence: str,
) -> None:
    only(backend)
    first = verdict_on(tiny_model_dir)
    assert (only_trial(first).state, first.selection.engine.backend) == (state, "paddle")
    assert evidence in only_trial(first).reason
    assert not first.complete
    reason = dict(first.selection.rejected)[f"{backend}, 1 thread"]
    assert "hpip tries it again at the first start after" in reason
    assert "or with `hpip tune`" in reason

    remedy.touch()
    assert verdict_on(tiny_model_dir) == first
    later(monkeypatch, RETRY_AFTER_S + 1)
    second = verdict_on(tiny_model_dir)
    assert only_trial(second).state == "verified"
    assert second.selection.engine.backend == backend


def test_a_process_that_is_stopped_is_not_a_crash(
    only: Register, tiny_model_dir: Path, remedy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("killed")
    monkeypatch.setenv("HPIP_TEST_SIGNAL", str(int(signal.SIGTERM)))
    trial = only_trial(verdict_on(tiny_model_dir))
    assert (trial.state, trial.final, trial.crashes) == ("failed", False, 0)
    assert "SIGTERM" in trial.reason


def test_a_crash_counts_when_it_happens_twice(
    only: Register, tiny_model_dir: Path, remedy: Path
) -> None:
    only("unlucky")
    verdict = verdict_on(tiny_model_dir)
    assert only_trial(verdict).state == "verified"
    only("crashing")
    trial = only_trial(verdict_on(tiny_model_dir))
    assert (trial.state, trial.crashes, trial.final) == ("crashed", 2, True)


def test_a_named_engine_is_tried_again_at_once(
    only: Register, tiny_model_dir: Path, remedy: Path
) -> None:
    only("failing")
    spec = load_model_spec(tiny_model_dir)

    def named() -> str:
        options = EngineOptions(backend="failing")
        return choose(spec, Device("cpu"), use_hpip=True, threads=1, options=options).engine.backend

    with pytest.raises(BackendError, match="No space left"):
        named()
    remedy.touch()
    assert named() == "failing"


@pytest.mark.parametrize(
    ("state", "crashes", "final"),
    [
        ("verified", 0, True),
        ("wrong", 0, True),
        ("absent", 0, True),
        ("refused", 0, True),
        ("uncalibrated", 0, True),
        ("crashed", 1, False),
        ("crashed", 2, True),
        ("failed", 0, False),
        ("hung", 0, False),
        ("out of memory", 0, False),
        ("unfinished", 0, False),
    ],
)
def test_what_is_remembered(tiny_model_dir: Path, state, crashes: int, final: bool) -> None:
    engine = request_for(tiny_model_dir).baseline
    trial = Trial(engine, "", state, "", allowed_s=60, ended_at=1000, crashes=crashes)
    assert trial.final == final
    assert trial.due_at(60) == (float("inf") if final else 1000 + RETRY_AFTER_S)
    more_time_helps = state == "unfinished"
    assert (trial.due_at(600) == 0) == more_time_helps


@pytest.mark.parametrize(
    ("reason", "state"), [("only one", "ok"), ("std::bad_alloc", "out of memory")]
)
def test_a_segment_without_memory_is_not_one_that_the_engine_refuses(
    only: Register,
    tiny_model_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    reason: str,
    state: str,
) -> None:
    only("picky")
    monkeypatch.setattr(PickyBackend, "opened", 0)
    monkeypatch.setattr(PickyBackend, "reason", reason)
    spec = load_model_spec(tiny_model_dir)
    plan = OriginalPlan(spec)
    plan.steps = (*plan.steps, replace(plan.steps[0], name="again"))
    engine, worker = Engine("picky", Device("cpu"), 1), TrialWorker()
    found, _ = reply(worker, "open", (plan, spec.preprocess, engine, BAD["picky"]))
    worker.close()
    assert found == state
