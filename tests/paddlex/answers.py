# SPDX-License-Identifier: Apache-2.0
"""Holds two of PaddleX's results against each other by hpip's definition of a same answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hpip import ops
from hpip.results.comparison import FLOAT32, compare
from hpip.types import RleMask


class _Answer:
    def __init__(self, result: Mapping[str, Any]) -> None:
        boxes, masks = result["boxes"], [np.asarray(mask) for mask in result["masks"]]
        assert len(boxes) == len(masks)
        image_hw = np.asarray(result["input_img"]).shape[:2]
        whole = [_whole(box, mask, image_hw) for box, mask in zip(boxes, masks, strict=True)]
        self.scores = np.array([box["score"] for box in boxes], np.float64)
        self.class_ids = np.array([box.get("cls_id", box.get("class_id")) for box in boxes])
        boxes_xyxy = [
            box["coordinate"] if "coordinate" in box else _bounds(mask)
            for box, mask in zip(boxes, whole, strict=True)
        ]
        self.boxes_xyxy = np.array(boxes_xyxy, np.float64).reshape(-1, 4)
        self.rle = [RleMask(ops.encode_rle(mask), image_hw, (0, 0)) for mask in whole]


def assert_same_answer(
    expected: Mapping[str, Any], found: Mapping[str, Any], threshold: float
) -> None:
    """Boxes without coordinates are compared as the bounds of their masks."""
    # Those bounds move by a pixel with a single pixel of the mask.
    has_boxes = all("coordinate" in box for box in expected["boxes"])
    tolerance = FLOAT32 if has_boxes else FLOAT32.for_whole_pixels()
    comparison = compare(_Answer(expected), _Answer(found), threshold, tolerance)
    assert not comparison.violations()
    assert expected.keys() == found.keys()
    np.testing.assert_array_equal(expected["input_img"], found["input_img"])


def _whole(box: Mapping[str, Any], mask: np.ndarray, image_hw: tuple[int, int]) -> np.ndarray:
    """A mask as large as the image, from a crop where PaddleX gives one."""
    if "class_id" in box:
        assert mask.shape == image_hw
        return np.ascontiguousarray(mask != 0, dtype=np.uint8)
    canvas = np.zeros(image_hw, np.uint8)
    x0, y0, x1, y1 = (round(float(value)) for value in box["coordinate"])
    canvas[y0:y1, x0:x1] = mask != 0
    return canvas


def _bounds(mask: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
