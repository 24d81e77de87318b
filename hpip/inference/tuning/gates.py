# SPDX-License-Identifier: Apache-2.0
"""Whether an engine's answers are the reference's, by the gate of its precision."""

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
class Answer:
    """One picture's instances at one threshold, under the names that `compare` reads."""

    threshold: float
    found: Instances

    @property
    def boxes_xyxy(self) -> AnyArray:
        """See `sameness.Instances`."""
        return self.found.boxes_xyxy

    @property
    def scores(self) -> AnyArray:
        """See `sameness.Instances`."""
        return self.found.scores

    @property
    def class_ids(self) -> AnyArray:
        """See `sameness.Instances`."""
        return self.found.class_ids

    @property
    def rle(self) -> Sequence[RleMask | None]:
        """See `sameness.Instances`."""
        return self.found.masks


@dataclass(frozen=True)
class Judgement:
    """What comparing all answers came to.

    Attributes:
        same: every answer is the reference's, and there was something to compare.
        reason: the figures, or what differs.
        matched: pairs of instances over all answers.
    """

    same: bool
    reason: str
    matched: int


def compare_answers(
    reference: Answer, candidate: Answer, tolerance: Tolerance = FLOAT32
) -> Comparison:
    """Compare two answers to one picture, at the reference's threshold."""
    if reference.found.boxes_from_masks:
        tolerance = tolerance.for_whole_pixels()
    return compare(reference, candidate, reference.threshold, tolerance)


def judge(
    reference: Sequence[Answer], candidate: Sequence[Answer], tolerance: Tolerance
) -> Judgement:
    """Compare answers pair by pair.

    Args:
        reference: the right answers.
        candidate: those in question, in the same order.
        tolerance: see `GATES`.
    """
    comparisons = [
        compare_answers(right, given, tolerance)
        for right, given in zip(reference, candidate, strict=True)
    ]
    matched = sum(comparison.matched for comparison in comparisons)
    for index, (right, comparison) in enumerate(zip(reference, comparisons, strict=True)):
        if violations := comparison.violations():
            where = f"answer {index + 1} of {len(reference)} at threshold {right.threshold:g}"
            return Judgement(False, f"{where}: {'; '.join(violations)}", matched)
    if not matched:
        return Judgement(False, "nothing is found in the pictures to compare", matched)
    return Judgement(True, _figures(comparisons, matched), matched)


def _figures(comparisons: Sequence[Comparison], matched: int) -> str:
    score = max(comparison.max_score_diff for comparison in comparisons)
    box_px = max(comparison.max_box_diff_px for comparison in comparisons)
    iou = min(comparison.min_mask_iou for comparison in comparisons)
    mean_iou = min(comparison.mean_mask_iou for comparison in comparisons)
    return (
        f"{matched} instances, mask IoU >= {iou:.4f} and {mean_iou:.4f} on average, "
        f"scores within {score:.1g}, boxes within {box_px:.1g} px"
    )
