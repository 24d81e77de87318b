# SPDX-License-Identifier: Apache-2.0
"""Validates an engine's predictions against the reference, with the tolerances of its precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpip.backends.base import Precision
from hpip.inference.execution.postprocess import Instances
from hpip.results.comparison import FLOAT32, Comparison, Tolerance, compare
from hpip.types import AnyArray, RleMask

_HALF = Tolerance(
    threshold_margin=0.05,
    box_iou=0.5,
    score=0.02,
    box_px=2.0,
    mask_iou_each=0.95,
    mask_iou_mean=0.98,
)
_INT8 = Tolerance(
    threshold_margin=0.05,
    box_iou=0.5,
    score=0.05,
    box_px=math.inf,
    mask_iou_each=0.0,
    mask_iou_mean=0.95,
)
GATES: dict[Precision, Tolerance] = {
    "fp32": FLOAT32,
    "bf16": _HALF,
    "fp16": _HALF,
    "int8": _INT8,
}


@dataclass(frozen=True)
class Prediction:
    """One image's instances at one score threshold, with the attributes that `compare` reads."""

    threshold: float
    instances: Instances

    @property
    def boxes_xyxy(self) -> AnyArray:
        """(N, 4) float32 boxes."""
        return self.instances.boxes_xyxy

    @property
    def scores(self) -> AnyArray:
        """(N,) float32 scores."""
        return self.instances.scores

    @property
    def class_ids(self) -> AnyArray:
        """(N,) int64 class ids."""
        return self.instances.class_ids

    @property
    def rle(self) -> Sequence[RleMask | None]:
        """N masks as run-length codes."""
        return self.instances.masks


@dataclass(frozen=True)
class Judgement:
    """The result of validating an engine's predictions.

    Attributes:
        same: True if all predictions match the reference within the tolerances, and at least one
            pair of instances was compared.
        reason: the measured differences, or the first violation.
        matched: number of matched pairs of instances in all predictions.
    """

    same: bool
    reason: str
    matched: int


def compare_predictions(
    reference: Prediction, candidate: Prediction, tolerance: Tolerance = FLOAT32
) -> Comparison:
    """Compare two predictions for one image, at the reference's score threshold."""
    if reference.instances.boxes_from_masks:
        tolerance = tolerance.for_whole_pixels()
    return compare(reference, candidate, reference.threshold, tolerance)


def judge(
    reference: Sequence[Prediction], candidate: Sequence[Prediction], tolerance: Tolerance
) -> Judgement:
    """Validate predictions against reference predictions, pair by pair.

    Args:
        reference: predictions of plain Paddle, or of the original graph.
        candidate: predictions to validate, in the same order.
        tolerance: allowed differences; see `GATES`.
    """
    comparisons = [
        compare_predictions(expected, received, tolerance)
        for expected, received in zip(reference, candidate, strict=True)
    ]
    matched = sum(comparison.matched for comparison in comparisons)
    for index, (expected, comparison) in enumerate(zip(reference, comparisons, strict=True)):
        if violations := comparison.violations():
            where = (
                f"prediction {index + 1} of {len(reference)} at threshold {expected.threshold:g}"
            )
            return Judgement(False, f"{where}: {'; '.join(violations)}", matched)
    if not matched:
        return Judgement(False, "no instances in the images to compare", matched)
    return Judgement(True, _figures(comparisons, matched), matched)


def _figures(comparisons: Sequence[Comparison], matched: int) -> str:
    score = max(comparison.max_score_diff for comparison in comparisons)
    box_px = max(comparison.max_box_diff_px for comparison in comparisons)
    iou = min(comparison.min_mask_iou for comparison in comparisons)
    mean_iou = min(comparison.mean_mask_iou for comparison in comparisons)
    return (
        f"{matched} instances, minimum mask IoU {iou:.4f}, mean mask IoU {mean_iou:.4f}, "
        f"score differences up to {score:.1g}, box differences up to {box_px:.1g} px"
    )
