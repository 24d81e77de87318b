# SPDX-License-Identifier: Apache-2.0
"""Fast PaddleX instance segmentation; see README.md."""

from __future__ import annotations

from hpip._core import __version__
from hpip.errors import HpipError
from hpip.logs import set_up_logging
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
    "set_up_logging",
]

set_up_logging()
