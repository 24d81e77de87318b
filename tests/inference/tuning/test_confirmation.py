# SPDX-License-Identifier: Apache-2.0
"""A choice that was made on a busy machine is confirmed on a later start."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpip.common.cpu_load import CpuLoadMeter
from hpip.inference.tuning import engine_trials, records, trial
from hpip.inference.tuning.budget import Limits
from hpip.inference.tuning.records import Verdict
from hpip.inference.tuning.tune import tune
from tests.inference.tuning.conftest import Register, request_for


@pytest.fixture(autouse=True)
def _load(monkeypatch: pytest.MonkeyPatch) -> None:
    busy(monkeypatch, 0.5)


def busy(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    monkeypatch.setattr(CpuLoadMeter, "share", property(lambda _: share))


def verdict_on(model_dir: Path, budget_s: float = 300) -> Verdict:
    return tune(request_for(model_dir), limits=Limits(budget_s)).verdict


def wait(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = records.time.time()
    monkeypatch.setattr(records.time, "time", lambda: now + seconds)


def test_it_is_confirmed_without_validating_again(
    only: Register, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("fast", "wrong")
    first = verdict_on(tiny_model_dir)
    assert first.selection.engine.backend == "fast"
    assert (first.metric, first.complete) == ("CPU time", False)
    assert "compared by CPU time, because other programs used 50% of the CPUs" in first.provisional
    assert first.provisional in first.selection.reason
    assert verdict_on(tiny_model_dir) == first

    monkeypatch.setattr(engine_trials, "try_engine", None)
    wait(monkeypatch, 61)
    second = verdict_on(tiny_model_dir)
    assert second != first
    assert not second.complete
    busy(monkeypatch, 0.0)
    wait(monkeypatch, 61)
    third = verdict_on(tiny_model_dir)
    assert third.selection.engine.backend == "fast"
    assert (third.metric, third.provisional, third.complete) == ("latency", "", True)
    wait(monkeypatch, 61)
    assert verdict_on(tiny_model_dir) == third


def test_a_start_without_time_does_not_replace_it(
    only: Register, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("fast")
    first = verdict_on(tiny_model_dir)
    wait(monkeypatch, 61)
    assert verdict_on(tiny_model_dir, budget_s=0.001) == first


def test_engines_are_loaded_again_where_memory_is_short(
    only: Register, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("fast", "good")
    busy(monkeypatch, 0.0)
    closed = []
    real = trial.EngineProcess.close

    def close(process: trial.EngineProcess) -> None:
        closed.append(process.engine.backend)
        real(process)

    monkeypatch.setattr(trial, "available_memory_bytes", lambda: 1)
    monkeypatch.setattr(trial.EngineProcess, "close", close)
    verdict = verdict_on(tiny_model_dir)
    assert closed[:2] == ["fast", "good"]
    assert verdict.selection.engine.backend == "fast"
    assert all(one.time_ms for one in verdict.trials)
