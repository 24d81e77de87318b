# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hpip.bench import entry
from hpip.bench.process import ContenderProcess

ROOT = Path(__file__).resolve().parents[2]


def sleeper(plan: dict[str, Any], environment: Mapping[str, str] | None = None) -> ContenderProcess:
    """A real process that sleeps as planned."""
    command = [sys.executable, str(Path(__file__).with_name("sleeper.py")), json.dumps(plan)]
    return ContenderProcess(command, ROOT, {"PYTHONPATH": str(ROOT), **(environment or {})})


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the next contenders sleepers with these plans, in the order in which they start."""

    def plan(*plans: dict[str, Any]) -> None:
        waiting = list(plans)

        def start(*_: object, environment: Mapping[str, str]) -> ContenderProcess:
            return sleeper(waiting.pop(0), environment)

        monkeypatch.setattr(entry, "start_worker", start)

    return plan


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two pictures of different sizes."""
    folder = tmp_path_factory.mktemp("photos")
    for i, (height, width) in enumerate([(96, 128), (80, 100)]):
        rng = np.random.default_rng(i)
        picture = np.full((height, width, 3), 30, np.uint8)
        picture[20:60, 20:70] = (0, 0, 220)
        picture[10:30, 75:95] = (0, 220, 0)
        picture += rng.integers(0, 8, picture.shape, np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), picture)
    return folder
