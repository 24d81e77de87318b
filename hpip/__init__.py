# SPDX-License-Identifier: Apache-2.0
"""Fast inference for PaddleX instance-segmentation models; see README.md.

The names below are imported at their first use, so that a program that only needs the version or
the command line's help does not wait for NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from hpip._core import __version__
from hpip.common.logs import set_up_logging
from hpip.errors import HpipError

if TYPE_CHECKING:
    import hpip.ops as ops
    from hpip.bundle.export import export_model
    from hpip.inference.pipeline import InstanceSegPipeline, create_pipeline
    from hpip.inference.predictor import Predictor, create_predictor
    from hpip.integrations.instance_seg_predictor import InstanceSegPredictor
    from hpip.integrations.paddlex_switch import disable_paddlex, enable_paddlex
    from hpip.results.result import InstanceSegResult

__all__ = [
    "HpipError",
    "InstanceSegPipeline",
    "InstanceSegPredictor",
    "InstanceSegResult",
    "Predictor",
    "__version__",
    "create_pipeline",
    "create_predictor",
    "disable_paddlex",
    "enable_paddlex",
    "export_model",
    "ops",
    "set_up_logging",
]

_HOMES = {
    "InstanceSegPipeline": "hpip.inference.pipeline",
    "InstanceSegPredictor": "hpip.integrations.instance_seg_predictor",
    "InstanceSegResult": "hpip.results.result",
    "Predictor": "hpip.inference.predictor",
    "create_pipeline": "hpip.inference.pipeline",
    "create_predictor": "hpip.inference.predictor",
    "disable_paddlex": "hpip.integrations.paddlex_switch",
    "enable_paddlex": "hpip.integrations.paddlex_switch",
    "export_model": "hpip.bundle.export",
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
