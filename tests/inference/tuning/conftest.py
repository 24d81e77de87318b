# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hpip.backends import registry
from hpip.common.devices import Device
from hpip.inference.tuning import candidates
from hpip.inference.tuning.candidates import TuningRequest
from hpip.model.spec import load_model_spec

Register = Callable[..., None]
ROOT = Path(__file__).resolve().parents[3]
BAD = {
    name: f"tests.inference.tuning.bad_backends:{class_name}"
    for name, class_name in (
        ("good", "GoodBackend"),
        ("fast", "FastBackend"),
        ("gpu_only", "GpuBackend"),
        ("crashing", "CrashingBackend"),
        ("crashing_at_open", "CrashingAtOpenBackend"),
        ("hanging", "HangingBackend"),
        ("wrong", "WrongBackend"),
        ("empty", "EmptyBackend"),
        ("greedy", "GreedyBackend"),
        ("out_of_memory", "OutOfMemoryBackend"),
        ("refusing", "RefusingBackend"),
        ("absent", "AbsentBackend"),
        ("picky", "PickyBackend"),
        ("later_broken", "LaterBrokenBackend"),
        ("quantizing", "QuantizingBackend"),
        ("clumsy", "ClumsyBackend"),
        ("bursting", "BurstingBackend"),
        ("failing", "FailingBackend"),
        ("unlucky", "UnluckyBackend"),
        ("broken", "BrokenBackend"),
        ("killed", "KilledBackend"),
        ("unreadable", "UnreadableBackend"),
    )
}


def request_for(model_dir: Path, **options: object) -> TuningRequest:
    return TuningRequest(load_model_spec(model_dir), Device("cpu"), 1, **options)


@pytest.fixture(autouse=True)
def _cache_of_each_test(fresh_cache: Path, timed_tuning: None) -> None:
    """No test reads what another one measured."""


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Make these test backends the only candidates beside plain Paddle, here and in children."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def register(*names: str) -> None:
        known = {"paddle": registry.backend_path("paddle")}
        monkeypatch.setattr(registry, "_BACKENDS", known | {name: BAD[name] for name in names})
        order = {"order": {"cpu": list(names), "gpu": list(names)}, "settings": {}}
        monkeypatch.setattr(candidates, "_shipped", lambda: order)

    return register
