# SPDX-License-Identifier: Apache-2.0
"""The reference results in a bundle: what plain Paddle finds in some images, for validation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpip.types import Float32Array, Int64Array, RleMask


@dataclass(frozen=True)
class ReferenceResult:
    """What plain Paddle found in one image, with the model's original graph.

    Attributes:
        image: digest of the image's pixels.
        score_threshold: instances with a higher score are listed.
        class_ids: (N,) int64.
        scores: (N,) float32.
        boxes_xyxy: (N, 4) float32, half-open pixels of the image.
        masks: N masks.
        boxes_from_masks: True for a model without boxes.
    """

    image: str
    score_threshold: float
    class_ids: Int64Array
    scores: Float32Array
    boxes_xyxy: Float32Array
    masks: tuple[RleMask, ...]
    boxes_from_masks: bool


@dataclass(frozen=True)
class References:
    """All reference results of a bundle.

    Attributes:
        resize_hw: the target size of the model's resize step for which they hold; None for the
            model's own. Validation of models of variable size runs on smaller images.
        results: one per image.
    """

    resize_hw: tuple[int, int] | None
    results: tuple[ReferenceResult, ...]

    def to_bytes(self) -> bytes:
        """The results as JSON; equal for equal results."""
        record = {"resize_hw": self.resize_hw, "results": list(map(_to_json, self.results))}
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def parse_references(data: bytes) -> References:
    """Inverse of `References.to_bytes`.

    Raises:
        ValueError: the data is damaged.
    """
    try:
        record = json.loads(data)
        hw = record["resize_hw"]
        resize_hw = None if hw is None else (int(hw[0]), int(hw[1]))
        return References(resize_hw, tuple(map(_from_json, record["results"])))
    except (LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _to_json(result: ReferenceResult) -> dict[str, Any]:
    return {
        "image": result.image,
        "score_threshold": result.score_threshold,
        "class_ids": result.class_ids.tolist(),
        "scores": result.scores.tolist(),
        "boxes_xyxy": result.boxes_xyxy.tolist(),
        "masks": [
            {"counts": mask.counts.decode(), "crop_hw": mask.crop_hw, "offset_yx": mask.offset_yx}
            for mask in result.masks
        ],
        "boxes_from_masks": result.boxes_from_masks,
    }


def _from_json(record: dict[str, Any]) -> ReferenceResult:
    masks = tuple(
        RleMask(mask["counts"].encode(), _pair(mask["crop_hw"]), _pair(mask["offset_yx"]))
        for mask in record["masks"]
    )
    boxes = np.array(record["boxes_xyxy"], np.float32).reshape(-1, 4)
    class_ids = np.array(record["class_ids"], np.int64)
    scores = np.array(record["scores"], np.float32)
    if not len(masks) == len(boxes) == len(class_ids) == len(scores):
        raise ValueError("expected as many masks, boxes, class ids and scores")
    return ReferenceResult(
        str(record["image"]),
        float(record["score_threshold"]),
        class_ids,
        scores,
        boxes,
        masks,
        bool(record["boxes_from_masks"]),
    )


def _pair(values: Sequence[Any]) -> tuple[int, int]:
    first, second = values
    return int(first), int(second)
