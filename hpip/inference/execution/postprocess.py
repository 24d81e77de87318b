# SPDX-License-Identifier: Apache-2.0
"""Converts the network's outputs to instances, and filters them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import hpip.ops as ops
from hpip.errors import BackendError
from hpip.inference.execution.boxes import clip_boxes, have_area
from hpip.inference.execution.mask_postprocess import LowResolutionInstances
from hpip.types import AnyArray, Float32Array, Int64Array, RleMask


@dataclass(frozen=True)
class InstanceFilter:
    """Which instances of an image to return.

    Attributes:
        score_threshold: minimum score. Models with boxes return scores greater than the threshold,
            models without boxes also a score equal to it, as in PaddleX.
        max_detections: maximum number of instances, those with the highest scores, in the model's
            order; None for no maximum.
        class_ids: classes to return; None for all classes.
    """

    score_threshold: float
    max_detections: int | None = None
    class_ids: frozenset[int] | None = None

    def indices(self, passes: AnyArray, scores: AnyArray, class_ids: AnyArray) -> Int64Array:
        """Indices of the instances that pass the filter, ascending.

        Args:
            passes: (N,) bool, whether an instance passes the score threshold by the rule of its
                model.
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
    """The instances of one image that passed the filter, in the model's order.

    Attributes:
        class_ids: (N,) int64.
        scores: (N,) float32.
        boxes_xyxy: (N, 4) float32, inside the image, half-open pixels.
        masks: N masks, each of the crop of its box.
        boxes_from_masks: True if the model has no boxes, so these are the masks' bounding boxes.
    """

    class_ids: Int64Array
    scores: Float32Array
    boxes_xyxy: Float32Array
    masks: list[RleMask]
    boxes_from_masks: bool = False


def split_batch(outputs: Sequence[AnyArray]) -> list[tuple[AnyArray, AnyArray]]:
    """Split the boxes and masks of a batch by image.

    Args:
        outputs: boxes (total, 6), counts (B,) and masks (total, H, W), as exported models with
            boxes return them.

    Returns:
        Views of the boxes and masks of each image.

    Raises:
        BackendError: the engine returned instance counts that exceed the boxes or masks.
    """
    boxes, counts, masks = outputs
    boxes = boxes.reshape(-1, 6)
    ends = np.cumsum(counts.reshape(-1))
    total = int(ends[-1]) if len(ends) else 0
    # An exported model may pad an empty image to one row, so extra rows are no error.
    if total > len(boxes) or (total > 0 and total > len(masks)):
        raise BackendError(
            "postprocess",
            "run",
            f"the engine returned counts of {total} instances, but {len(boxes)} boxes "
            f"and {len(masks)} masks",
        )
    starts = np.concatenate([[0], ends[:-1]])
    return [(boxes[start:end], masks[start:end]) for start, end in zip(starts, ends, strict=True)]


def instances_from_boxes(
    boxes: AnyArray,
    masks: AnyArray,
    image_hw: tuple[int, int],
    instance_filter: InstanceFilter,
    *,
    mask_threshold: float,
    threads: int = 1,
) -> Instances:
    """Filter the outputs of an exported model that returns boxes and full-image masks.

    A score passes the threshold if it is greater, as in PaddleX. Boxes are clipped to the image;
    a box that is empty afterwards is dropped together with its mask (PaddleX 3.7 drops only the
    box, so later boxes get the wrong mask: defect B2).

    Args:
        boxes: (N, 6) float32: class id, score, x0, y0, x1, y1 in image pixels. A negative class
            id marks padding.
        masks: (N, H, W), any numeric dtype, at the image's size.
        image_hw: H and W.
        instance_filter: which instances to return.
        mask_threshold: a pixel belongs to the instance if its value is greater.
        threads: CPU threads of the kernels.
    """
    class_ids = boxes[:, 0].astype(np.int64)
    scores = boxes[:, 1]
    clipped = clip_boxes(boxes[:, 2:6], image_hw)
    passes = (scores > instance_filter.score_threshold) & (class_ids > -1) & have_area(clipped)
    kept = instance_filter.indices(passes, scores, class_ids)
    boxes_xyxy = np.ascontiguousarray(clipped[kept])
    rle_masks = ops.encode_mask_crops(
        masks, boxes_xyxy, indices=kept, mask_threshold=mask_threshold, threads=threads
    )
    return Instances(class_ids[kept], scores[kept].astype(np.float32), boxes_xyxy, rle_masks)


def instances_from_classes(
    class_ids: AnyArray,
    scores: AnyArray,
    masks: AnyArray,
    instance_filter: InstanceFilter,
    *,
    mask_threshold: float,
    threads: int = 1,
) -> Instances:
    """Filter the outputs of an exported model without boxes (SOLOv2).

    Boxes are the masks' bounding boxes. A score passes the threshold if it is greater or equal, as
    in PaddleX. An empty mask is dropped (PaddleX 3.7 returns it, and fails to draw it: defect B3).

    Args:
        class_ids: (N,) integers.
        scores: (N,) float32.
        masks: (N, H, W), any numeric dtype, at the image's size.
        instance_filter: which instances to return.
        mask_threshold: a pixel belongs to the instance if its value is greater.
        threads: CPU threads of the kernels.
    """
    class_ids = class_ids.reshape(-1).astype(np.int64)
    scores = scores.reshape(-1)
    kept = instance_filter.indices(scores >= instance_filter.score_threshold, scores, class_ids)
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
    """Half-open xyxy bounding box of the pixels above the threshold; None for an empty mask."""
    inside = mask > mask_threshold
    rows = np.flatnonzero(inside.any(axis=1))
    if len(rows) == 0:
        return None
    columns = np.flatnonzero(inside[rows[0] : rows[-1] + 1].any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def instances_from_low_resolution(
    instances: LowResolutionInstances,
    image_hw: tuple[int, int],
    instance_filter: InstanceFilter,
    *,
    threads: int = 1,
) -> Instances:
    """Filter one image's instances from a truncated graph, by the rules of the original graph.

    Args:
        instances: the image's instances with low-resolution masks.
        image_hw: H and W.
        instance_filter: which instances to return.
        threads: CPU threads of the kernels.
    """
    scores, class_ids = instances.scores, instances.class_ids
    if instances.boxes_xyxy is None:
        kept = instance_filter.indices(scores >= instance_filter.score_threshold, scores, class_ids)
        boxes, masks = instances.encode(kept, image_hw, threads=threads)
        seen = np.flatnonzero(boxes[:, 2] > boxes[:, 0])
        kept, boxes, masks = kept[seen], boxes[seen], [masks[index] for index in seen]
        scores = scores[kept].astype(np.float32)
        return Instances(class_ids[kept], scores, boxes, masks, boxes_from_masks=True)
    clipped = clip_boxes(instances.boxes_xyxy, image_hw)
    passes = (scores > instance_filter.score_threshold) & (class_ids > -1) & have_area(clipped)
    kept = instance_filter.indices(passes, scores, class_ids)
    _, masks = instances.encode(kept, image_hw, threads=threads)
    boxes = np.ascontiguousarray(clipped[kept])
    return Instances(class_ids[kept], scores[kept].astype(np.float32), boxes, masks)
