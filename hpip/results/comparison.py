# SPDX-License-Identifier: Apache-2.0
"""Whether two results of one image are the same answer, and by how much they differ.

This is the project's one definition: parity with PaddleX, the check of a rewritten program against
the export, the check of a backend against plain Paddle and the benchmarks all use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

import hpip.ops as ops
from hpip.types import AnyArray, Float64Array, Int64Array, RleMask


class Instances(Protocol):
    """What is compared: N instances of one image, in any order; results have these attributes."""

    @property
    def boxes_xyxy(self) -> AnyArray:
        """(N, 4) floats, half-open image pixels."""

    @property
    def scores(self) -> AnyArray:
        """(N,) floats."""

    @property
    def class_ids(self) -> AnyArray:
        """(N,) integers."""

    @property
    def rle(self) -> Sequence[RleMask | None]:
        """N masks; None where this side has no mask that belongs to the box."""


@dataclass(frozen=True)
class Tolerance:
    """How far two results may lie apart; the defaults hold for float32 on both sides.

    Attributes:
        threshold_margin: an instance with a score less than this above the threshold may be missing
            on the other side.
        box_iou: instances of one class are matched when their boxes overlap at least so much.
        score: largest difference of matched scores.
        box_px: largest difference of one coordinate; see `for_whole_pixels`.
        mask_iou_each: least mask IoU of one matched pair.
        mask_iou_mean: least mean of the mask IoU over the matched pairs.
        mask_px: masks that differ in at most so many pixels count as equal in both limits: of a
            mask of 200 pixels, the two that rounding decides are 1 %.
    """

    threshold_margin: float = 0.01
    box_iou: float = 0.9
    score: float = 5e-4
    box_px: float = 0.25
    mask_iou_each: float = 0.99
    mask_iou_mean: float = 0.999
    mask_px: int = 3

    def for_whole_pixels(self) -> Tolerance:
        """The tolerance where a side rounds its boxes or derives them from masks: 1 pixel."""
        return replace(self, box_px=max(1.0, self.box_px))


FLOAT32 = Tolerance()


@dataclass(frozen=True)
class Comparison:
    """The figures of one comparison; without pairs the differences are 0 and the IoUs 1.

    Attributes:
        tolerance: the limits that apply.
        matched: number of matched pairs.
        missing: indices of reference instances that should have been matched and were not.
        extra: the same for candidate instances.
        max_score_diff: over the matched pairs.
        max_box_diff_px: over the coordinates of the matched pairs.
        masks_compared: pairs in which both sides have a mask.
        min_mask_iou: over those.
        mean_mask_iou: over those.
        min_judged_iou: as `min_mask_iou`, with masks within `mask_px` counted as equal.
        mean_judged_iou: likewise.
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
        """True when nothing breaks the tolerance."""
        return not self.violations()

    def violations(self) -> list[str]:
        """What breaks the tolerance, one sentence each."""
        found = []
        if self.missing:
            found.append(f"{len(self.missing)} instances of the reference are missing")
        if self.extra:
            found.append(f"{len(self.extra)} instances are not in the reference")
        # A NaN breaks every limit: hence "not within", where "beyond" would let it pass.
        for name, diff, most in (
            ("score", self.max_score_diff, self.tolerance.score),
            ("box (px)", self.max_box_diff_px, self.tolerance.box_px),
        ):
            if not diff <= most:
                found.append(f"largest difference of {name}: {diff:.3g}, allowed {most:g}")
        for name, iou, least in (
            ("least", self.min_judged_iou, self.tolerance.mask_iou_each),
            ("mean", self.mean_judged_iou, self.tolerance.mask_iou_mean),
        ):
            if not iou >= least:
                found.append(f"{name} mask IoU: {iou:.5f}, expected at least {least:g}")
        return found


def compare(
    reference: Instances,
    candidate: Instances,
    threshold: float,
    tolerance: Tolerance = FLOAT32,
) -> Comparison:
    """Compare two results of one image that were asked for with the same score threshold.

    They are the same answer when
    - instances of the same class pair up by box IoU >= `box_iou`, each at most once, so that no
      instance of either side with a score of at least `threshold + threshold_margin` is left over;
    - in every pair, scores differ by at most `score` and coordinates by at most `box_px`, and the
      masks' IoU is at least `mask_iou_each`, on average at least `mask_iou_mean`, where masks that
      differ in at most `mask_px` pixels count as equal.

    Pairs below the margin count in all differences. Of several possible pairs, the one with the
    higher box IoU is taken first and, where boxes are as good as equal, the one with the closer
    score. A pair in which a side has no mask counts in everything but the masks.

    Args:
        reference: the right answer.
        candidate: the answer in question.
        threshold: the score threshold of both.
        tolerance: what counts as the same.
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
        missing=_left_over(reference.scores, rows, limit),
        extra=_left_over(candidate.scores, columns, limit),
        max_score_diff=float(np.abs(score_diffs).max(initial=0.0)),
        max_box_diff_px=float(np.abs(box_diffs).max(initial=0.0)),
        masks_compared=len(ious),
        min_mask_iou=min(ious, default=1.0),
        mean_mask_iou=float(np.mean(ious)) if ious else 1.0,
        min_judged_iou=min(judged, default=1.0),
        mean_judged_iou=float(np.mean(judged)) if judged else 1.0,
    )


def mask_iou(mask: RleMask, other: RleMask) -> float:
    """Intersection over union of two masks in the image's frame; 1 when neither has a pixel."""
    return _iou(*_overlap(mask, other))


def _iou(intersection: int, union: int) -> float:
    return intersection / union if union else 1.0


def _overlap(mask: RleMask, other: RleMask) -> tuple[int, int]:
    """Pixels in both masks, and pixels in either."""
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


def _match(reference: Instances, candidate: Instances, least_iou: float) -> Int64Array:
    """(P, 2): index in the reference, index in the candidate; each index at most once."""
    ious = _box_ious(_float64(reference.boxes_xyxy), _float64(candidate.boxes_xyxy))
    same_class = np.asarray(reference.class_ids)[:, None] == np.asarray(candidate.class_ids)
    score_diffs = np.abs(_float64(reference.scores)[:, None] - _float64(candidate.scores))
    possible = np.argwhere(same_class & (ious >= least_iou))
    rows, columns = possible.T
    # Finer differences of IoU than 0.001 are noise: there the score tells better who is who.
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
    """(N, M) overlaps; two equal boxes overlap fully even when they are empty."""
    a, b = boxes.reshape(-1, 1, 4), others.reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = sides.clip(min=0).prod(axis=-1)
    union = _areas(a) + _areas(b) - intersection
    ious = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
    return np.where((a == b).all(axis=-1), 1.0, ious)


def _areas(boxes: Float64Array) -> Float64Array:
    areas: Float64Array = (boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(axis=-1)
    return areas


def _left_over(scores: AnyArray, matched: Int64Array, limit: float) -> tuple[int, ...]:
    above = np.flatnonzero(_float64(scores) >= limit)
    return tuple(np.setdiff1d(above, matched).tolist())


def _float64(values: AnyArray) -> Float64Array:
    return np.asarray(values, dtype=np.float64)
