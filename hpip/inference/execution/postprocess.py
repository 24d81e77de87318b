# SPDX-License-Identifier: Apache-2.0
"""From the network's outputs to kept instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import hpip.ops as ops
from hpip.errors import BackendError
from hpip.inference.execution.mask_postprocess import UnpastedPicture
from hpip.types import AnyArray, Float32Array, Int64Array, RleMask


@dataclass(frozen=True)
class Selection:
    """Which instances of a picture the caller wants.

    Attributes:
        score_threshold: lowest score; whether the score itself passes is the family's rule.
        max_detections: keep this many of the highest scores, in the model's order; None keeps all.
        class_ids: keep these classes only; None keeps all.
    """

    score_threshold: float
    max_detections: int | None = None
    class_ids: frozenset[int] | None = None

    def indices(self, passes: AnyArray, scores: AnyArray, class_ids: AnyArray) -> Int64Array:
        """Indices of the instances to keep, ascending.

        Args:
            passes: (N,) bool, the family's own rule.
            scores: (N,) float.
            class_ids: (N,) integers.
        """
        if self.class_ids is not None:
            passes = passes & np.isin(class_ids, list(self.class_ids))
        kept = np.flatnonzero(passes)
        if self.max_detections is not None and len(kept) > self.max_detections:
            best = np.argsort(-scores[kept], kind="stable")[: self.max_detections]
            kept = np.sort(kept[best])
        return kept


@dataclass(frozen=True)
class Instances:
    """The kept instances of one picture, in the model's order.

    Attributes:
        class_ids: (N,) int64.
        scores: (N,) float32.
        boxes_xyxy: (N, 4) float32, inside the image, half-open pixels.
        masks: N masks of the boxes' crops.
        boxes_from_masks: the model has no boxes; these are whole pixels around the masks.
    """

    class_ids: Int64Array
    scores: Float32Array
    boxes_xyxy: Float32Array
    masks: list[RleMask]
    boxes_from_masks: bool = False


def split_batch(outputs: Sequence[AnyArray]) -> list[tuple[AnyArray, AnyArray]]:
    """Split boxes and masks of a batch by the counts of its pictures.

    Args:
        outputs: boxes (total, 6), counts (B,), masks (total, H, W), as the exports with boxes give.

    Returns:
        For each picture its boxes and masks, as views.

    Raises:
        BackendError: the counts do not fit the boxes; the engine's answer is wrong.
    """
    boxes, counts, masks = outputs
    boxes = boxes.reshape(-1, 6)
    ends = np.cumsum(counts.reshape(-1))
    total = int(ends[-1]) if len(ends) else 0
    # An export may fill an empty picture up to one row; fewer rows than it counts is wrong.
    if total > len(boxes) or (total > 0 and total > len(masks)):
        raise BackendError(
            "postprocess",
            "run",
            f"the network counts {total} instances but returned {len(boxes)} boxes "
            f"and {len(masks)} masks",
        )
    starts = np.concatenate([[0], ends[:-1]])
    return [(boxes[start:end], masks[start:end]) for start, end in zip(starts, ends, strict=True)]


def instances_from_boxes(
    boxes: AnyArray,
    masks: AnyArray,
    image_hw: tuple[int, int],
    selection: Selection,
    *,
    mask_threshold: float,
    threads: int = 1,
) -> Instances:
    """Keep instances of an export that returns boxes and masks at the image's size.

    A score passes when it is greater than the threshold, as in PaddleX. Boxes are clipped to the
    image; one that is empty afterwards is dropped together with its mask (PaddleX 3.7 drops the box
    alone, so that later boxes get the wrong mask: defect B2).

    Args:
        boxes: (N, 6) float32: class id, score, x0, y0, x1, y1 in image pixels. A class id below
            zero marks padding.
        masks: (N, H, W), any numeric dtype, at the image's size.
        image_hw: H and W.
        selection: what to keep.
        mask_threshold: a pixel belongs to the instance when its value is greater.
        threads: CPU threads of the kernels.
    """
    class_ids = boxes[:, 0].astype(np.int64)
    scores = boxes[:, 1]
    clipped = _clip_boxes(boxes[:, 2:6], image_hw)
    passes = (scores > selection.score_threshold) & (class_ids > -1) & _have_area(clipped)
    kept = selection.indices(passes, scores, class_ids)
    boxes_xyxy = np.ascontiguousarray(clipped[kept])
    rle_masks = ops.encode_mask_crops(
        masks, boxes_xyxy, indices=kept, mask_threshold=mask_threshold, threads=threads
    )
    return Instances(class_ids[kept], scores[kept].astype(np.float32), boxes_xyxy, rle_masks)


def instances_from_classes(
    class_ids: AnyArray,
    scores: AnyArray,
    masks: AnyArray,
    selection: Selection,
    *,
    mask_threshold: float,
    threads: int = 1,
) -> Instances:
    """Keep instances of an export without boxes (SOLOv2); the box is the mask's bounding box.

    A score passes when it reaches the threshold, as in PaddleX. A mask without a pixel has no box
    and is dropped (PaddleX 3.7 keeps it and fails when it draws: defect B3).

    Args:
        class_ids: (N,) integers.
        scores: (N,) float32.
        masks: (N, H, W), any numeric dtype, at the image's size.
        selection: what to keep.
        mask_threshold: a pixel belongs to the instance when its value is greater.
        threads: CPU threads of the kernels.
    """
    class_ids = class_ids.reshape(-1).astype(np.int64)
    scores = scores.reshape(-1)
    kept = selection.indices(scores >= selection.score_threshold, scores, class_ids)
    boxes = [_mask_box(masks[index], mask_threshold) for index in kept]
    seen = [i for i, box in enumerate(boxes) if box is not None]
    kept = kept[seen]
    boxes_xyxy = np.array([boxes[i] for i in seen], np.float32).reshape(-1, 4)
    rle_masks = ops.encode_mask_crops(
        masks, boxes_xyxy, indices=kept, mask_threshold=mask_threshold, threads=threads
    )
    scores = scores[kept].astype(np.float32)
    return Instances(class_ids[kept], scores, boxes_xyxy, rle_masks, boxes_from_masks=True)


def _mask_box(mask: AnyArray, mask_threshold: float) -> tuple[int, int, int, int] | None:
    """Half-open xyxy of the pixels above the threshold, or None when there is none."""
    inside = mask > mask_threshold
    rows = np.flatnonzero(inside.any(axis=1))
    if len(rows) == 0:
        return None
    columns = np.flatnonzero(inside[rows[0] : rows[-1] + 1].any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def instances_from_unpasted(
    picture: UnpastedPicture,
    image_hw: tuple[int, int],
    selection: Selection,
    *,
    threads: int = 1,
) -> Instances:
    """Keep instances of a cut program, by the rules that its export's outputs have.

    Args:
        picture: one picture's share of what the program returned.
        image_hw: H and W.
        selection: what to keep.
        threads: CPU threads of the kernels.
    """
    scores, class_ids = picture.scores, picture.class_ids
    if picture.boxes_xyxy is None:
        kept = selection.indices(scores >= selection.score_threshold, scores, class_ids)
        boxes, masks = picture.encode(kept, image_hw, threads=threads)
        seen = np.flatnonzero(boxes[:, 2] > boxes[:, 0])
        kept, boxes, masks = kept[seen], boxes[seen], [masks[index] for index in seen]
        scores = scores[kept].astype(np.float32)
        return Instances(class_ids[kept], scores, boxes, masks, boxes_from_masks=True)
    clipped = _clip_boxes(picture.boxes_xyxy, image_hw)
    passes = (scores > selection.score_threshold) & (class_ids > -1) & _have_area(clipped)
    kept = selection.indices(passes, scores, class_ids)
    _, masks = picture.encode(kept, image_hw, threads=threads)
    boxes = np.ascontiguousarray(clipped[kept])
    return Instances(class_ids[kept], scores[kept].astype(np.float32), boxes, masks)


def _clip_boxes(boxes_xyxy: AnyArray, image_hw: tuple[int, int]) -> Float32Array:
    height, width = image_hw
    corner = np.array([width, height, width, height], np.float32)
    return boxes_xyxy.astype(np.float32).clip(0, corner)


def _have_area(boxes_xyxy: Float32Array) -> AnyArray:
    x0, y0, x1, y1 = boxes_xyxy.T
    passes: AnyArray = (x1 > x0) & (y1 > y0)
    return passes
