# SPDX-License-Identifier: Apache-2.0
"""COCO metrics of a pipeline on a dataset; see docs/eval.md."""

from __future__ import annotations

from hpip.evaluation.categories import CategoryMapping
from hpip.evaluation.dataset import CocoDataset, load_dataset
from hpip.evaluation.run import Evaluation, evaluate, metric_differences
from hpip.evaluation.scores import METRICS, ClassScores, OperatingPoint, RegionScores

__all__ = [
    "METRICS",
    "CategoryMapping",
    "ClassScores",
    "CocoDataset",
    "Evaluation",
    "OperatingPoint",
    "RegionScores",
    "evaluate",
    "load_dataset",
    "metric_differences",
]
