# SPDX-License-Identifier: Apache-2.0
"""Fast PaddleX instance segmentation; see README.md.

The names below are imported when they are first used: a program that only asks for the version, or
for the command line's help, does not wait for NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from hpip._core import __version__
from hpip.errors import HpipError
from hpip.logs import set_up_logging

if TYPE_CHECKING:
    from hpip import ops
    from hpip.pipeline import InstanceSegPipeline, create_pipeline
    from hpip.predictor import Predictor, create_predictor
    from hpip.results import InstanceSegResult

__all__ = [
    "HpipError",
    "InstanceSegPipeline",
    "InstanceSegResult",
    "Predictor",
    "__version__",
    "create_pipeline",
    "create_predictor",
    "ops",
    "set_up_logging",
]

_HOMES = {
    "InstanceSegPipeline": "hpip.pipeline",
    "InstanceSegResult": "hpip.results",
    "Predictor": "hpip.predictor",
    "create_pipeline": "hpip.pipeline",
    "create_predictor": "hpip.predictor",
}


def __getattr__(name: str) -> object:
    if name == "ops":
        return import_module("hpip.ops")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hpip' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


set_up_logging()
