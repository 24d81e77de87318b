# SPDX-License-Identifier: Apache-2.0
"""Compares two results of one image: how much they differ, and if they are within a tolerance.

The parity tests against PaddleX, the validation of rewritten graphs against the original one, the
validation of engines against plain Paddle, and the benchmarks all use this definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

import hpip.ops as ops
from hpip.types import AnyArray, Float64Array, Int64Array, RleMask


class ComparableInstances(Protocol):
    """N instances of one image, in any order; every result has these attributes."""

    @property
    def boxes_xyxy(self) -> AnyArray:
        """(N, 4) floats in image pixels, half-open."""

    @property
    def scores(self) -> AnyArray:
        """(N,) floats."""

    @property
    def class_ids(self) -> AnyArray:
        """(N,) integers."""

    @property
    def rle(self) -> Sequence[RleMask | None]:
        """N masks; None for a box without a mask."""


@dataclass(frozen=True)
class Tolerance:
    """Maximum differences between two results; the defaults apply to float32 on both sides.

    Attributes:
        threshold_margin: an instance whose score exceeds the threshold by less than this may be
            missing from the other result.
        box_iou: minimum box IoU of two matched instances of one class.
        score: maximum difference of the scores of a matched pair.
        box_px: maximum difference of one box coordinate; see `for_whole_pixels`.
        mask_iou_each: minimum mask IoU of each matched pair.
        mask_iou_mean: minimum mean of the mask IoU over all matched pairs.
        mask_px: masks that differ in at most this many pixels count as equal for both mask limits,
            because two pixels that depend on rounding are 1 % of a mask of 200 pixels.
    """

    threshold_margin: float = 0.01
    box_iou: float = 0.9
    score: float = 5e-4
    box_px: float = 0.25
    mask_iou_each: float = 0.99
    mask_iou_mean: float = 0.999
    mask_px: int = 3

    def for_whole_pixels(self) -> Tolerance:
        """The tolerance if a side rounds its boxes or derives them from masks: at least 1 pixel."""
        return replace(self, box_px=max(1.0, self.box_px))


FLOAT32 = Tolerance()


@dataclass(frozen=True)
class Comparison:
    """Differences between two results; without matched pairs, they are 0 and the IoUs are 1.

    Attributes:
        tolerance: the tolerance of the comparison.
        matched: number of matched pairs.
        missing: indices of the reference instances that have no match, but should have one.
        extra: indices of the candidate instances that have no match, but should have one.
        max_score_diff: maximum difference of the scores over the matched pairs.
        max_box_diff_px: maximum difference of a box coordinate over the matched pairs.
        masks_compared: number of pairs with a mask on both sides.
        min_mask_iou: minimum mask IoU over those pairs.
        mean_mask_iou: mean mask IoU over those pairs.
        min_judged_iou: `min_mask_iou`, with masks that differ in at most `mask_px` pixels counted
            as equal; the tolerance applies to it.
        mean_judged_iou: `mean_mask_iou`, in the same way.
    """

    tolerance: Tolerance
    matched: int
    missing: tuple[int, ...]
    extra: tuple[int, ...]
    max_score_diff: float
    max_box_diff_px: float
    masks_compared: int
    min_mask_iou: float
    mean_mask_iou: float
    min_judged_iou: float
    mean_judged_iou: float

    @property
    def same(self) -> bool:
        """Whether the two results agree within the tolerance."""
        return not self.violations()

    def violations(self) -> list[str]:
        """The differences that exceed the tolerance, one phrase each."""
        found = []
        if self.missing:
            found.append(f"{len(self.missing)} instances of the reference are missing")
        if self.extra:
            found.append(f"{len(self.extra)} instances are not in the reference")
        # "not <=" and "not >=", because every comparison with NaN is False.
        for name, unit, diff, limit in (
            ("score", "", self.max_score_diff, self.tolerance.score),
            ("box", " px", self.max_box_diff_px, self.tolerance.box_px),
        ):
            if not diff <= limit:
                found.append(
                    f"maximum {name} difference: {diff:.3g}{unit}, tolerance {limit:g}{unit}"
                )
        for name, iou, limit in (
            ("minimum", self.min_judged_iou, self.tolerance.mask_iou_each),
            ("mean", self.mean_judged_iou, self.tolerance.mask_iou_mean),
        ):
            if not iou >= limit:
                found.append(f"{name} mask IoU: {iou:.5f}, expected at least {limit:g}")
        return found


def compare(
    reference: ComparableInstances,
    candidate: ComparableInstances,
    threshold: float,
    tolerance: Tolerance = FLOAT32,
) -> Comparison:
    """Compare two results of one image with the same score threshold.

    They are the same within the tolerance if
    - instances of the same class match one to one with a box IoU >= `box_iou`, and no instance of
      either side with a score of at least `threshold + threshold_margin` is unmatched;
    - in every matched pair, scores differ by at most `score` and coordinates by at most `box_px`,
      and the mask IoU is at least `mask_iou_each`, with a mean of at least `mask_iou_mean`, where
      masks that differ in at most `mask_px` pixels count as equal.

    Matched pairs with lower scores contribute to all differences, too. Matching is greedy: pairs
    with a higher box IoU first and, if the IoUs are nearly equal, pairs with closer scores. A pair
    without a mask on one side contributes to all differences except those of masks.

    Args:
        reference: the reference result.
        candidate: the result to validate.
        threshold: score threshold of both results.
        tolerance: maximum differences.
    """
    pairs = _match(reference, candidate, tolerance.box_iou)
    rows, columns = pairs[:, 0], pairs[:, 1]
    limit = threshold + tolerance.threshold_margin
    box_diffs = _float64(reference.boxes_xyxy)[rows] - _float64(candidate.boxes_xyxy)[columns]
    score_diffs = _float64(reference.scores)[rows] - _float64(candidate.scores)[columns]
    overlaps = [
        _overlap(mask, other)
        for mask, other in ((reference.rle[i], candidate.rle[j]) for i, j in pairs)
        if mask is not None and other is not None
    ]
    ious = [_iou(*overlap) for overlap in overlaps]
    judged = [
        1.0 if union - intersection <= tolerance.mask_px else iou
        for (intersection, union), iou in zip(overlaps, ious, strict=True)
    ]
    return Comparison(
        tolerance=tolerance,
        matched=len(pairs),
        missing=_unmatched(reference.scores, rows, limit),
        extra=_unmatched(candidate.scores, columns, limit),
        max_score_diff=float(np.abs(score_diffs).max(initial=0.0)),
        max_box_diff_px=float(np.abs(box_diffs).max(initial=0.0)),
        masks_compared=len(ious),
        min_mask_iou=min(ious, default=1.0),
        mean_mask_iou=float(np.mean(ious)) if ious else 1.0,
        min_judged_iou=min(judged, default=1.0),
        mean_judged_iou=float(np.mean(judged)) if judged else 1.0,
    )


def _iou(intersection: int, union: int) -> float:
    return intersection / union if union else 1.0


def _overlap(mask: RleMask, other: RleMask) -> tuple[int, int]:
    """Intersection and union of two masks in image coordinates, in pixels."""
    dense, other_dense = (ops.decode_rle(m.counts, m.crop_hw) for m in (mask, other))
    y0, x0 = np.maximum(mask.offset_yx, other.offset_yx)
    y1, x1 = np.minimum(
        np.add(mask.offset_yx, mask.crop_hw), np.add(other.offset_yx, other.crop_hw)
    )
    intersection = 0
    if y1 > y0 and x1 > x0:
        shared = [
            crop[y0 - top : y1 - top, x0 - left : x1 - left]
            for crop, (top, left) in ((dense, mask.offset_yx), (other_dense, other.offset_yx))
        ]
        intersection = int(np.count_nonzero(shared[0] & shared[1]))
    union = np.count_nonzero(dense) + np.count_nonzero(other_dense) - intersection
    return intersection, int(union)


def _match(
    reference: ComparableInstances, candidate: ComparableInstances, least_iou: float
) -> Int64Array:
    """Match instances: (P, 2) indices into reference and candidate, each at most once."""
    ious = _box_ious(_float64(reference.boxes_xyxy), _float64(candidate.boxes_xyxy))
    same_class = np.asarray(reference.class_ids)[:, None] == np.asarray(candidate.class_ids)
    score_diffs = np.abs(_float64(reference.scores)[:, None] - _float64(candidate.scores))
    possible = np.argwhere(same_class & (ious >= least_iou))
    rows, columns = possible.T
    # IoU differences below 0.001 are noise, for which the score is the better criterion.
    order = np.lexsort((score_diffs[rows, columns], -ious[rows, columns].round(3)))
    taken: list[tuple[int, int]] = []
    free_rows, free_columns = set(rows.tolist()), set(columns.tolist())
    for i, j in possible[order].tolist():
        if i in free_rows and j in free_columns:
            taken.append((i, j))
            free_rows.remove(i)
            free_columns.remove(j)
    return np.array(taken, dtype=np.int64).reshape(-1, 2)


def _box_ious(boxes: Float64Array, others: Float64Array) -> Float64Array:
    """(N, M) IoUs; 1 for two equal boxes, even if they are empty."""
    a, b = boxes.reshape(-1, 1, 4), others.reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = sides.clip(min=0).prod(axis=-1)
    union = _areas(a) + _areas(b) - intersection
    ious = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
    return np.where((a == b).all(axis=-1), 1.0, ious)


def _areas(boxes: Float64Array) -> Float64Array:
    areas: Float64Array = (boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(axis=-1)
    return areas


def _unmatched(scores: AnyArray, matched: Int64Array, limit: float) -> tuple[int, ...]:
    above = np.flatnonzero(_float64(scores) >= limit)
    return tuple(np.setdiff1d(above, matched).tolist())


def _float64(values: AnyArray) -> Float64Array:
    return np.asarray(values, dtype=np.float64)
