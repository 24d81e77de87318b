# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from hpip import ops
from hpip.errors import BackendError
from hpip.inference.execution.postprocess import (
    InstanceFilter,
    Instances,
    instances_from_boxes,
    instances_from_classes,
    split_batch,
)

HEIGHT, WIDTH = 20, 30


def _box_masks(boxes: np.ndarray, dtype: type = np.int32) -> np.ndarray:
    """One full-size mask per box: the box's own pixels."""
    masks = np.zeros((len(boxes), HEIGHT, WIDTH), dtype)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes[:, 2:].round().astype(int), strict=True):
        mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = 1
    return masks


def _dense(found: Instances, index: int) -> np.ndarray:
    mask = found.masks[index]
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    (y, x), (h, w) = mask.offset_yx, mask.crop_hw
    image[y : y + h, x : x + w] = ops.decode_rle(mask.counts, mask.crop_hw)
    return image


def _keep(boxes: np.ndarray, masks: np.ndarray, threshold: float = 0.5, **limits) -> Instances:
    instance_filter = InstanceFilter(threshold, **limits)
    return instances_from_boxes(boxes, masks, (HEIGHT, WIDTH), instance_filter, mask_threshold=0)


BOXES = np.float32(
    [
        [0, 0.9, 2, 3, 10, 12],
        [1, 0.8, 5, 5, 5, 9],  # no width
        [2, 0.7, 12, 1, 28, 19],
        [0, 0.5, 1, 1, 4, 4],  # exactly at the threshold
        [-1, 0.99, 1, 1, 4, 4],  # padding
        [1, 0.6, -4, 15, 8, 26],  # over the border
        [1, 0.95, 40, 2, 50, 9],  # outside
    ]
)


def test_each_kept_box_has_its_own_mask() -> None:
    # Defect B2 of PaddleX 3.7: the box without width was dropped, its mask was not.
    masks = _box_masks(BOXES)
    masks[1, 0, 0] = 1
    found = _keep(BOXES, masks)
    assert found.class_ids.tolist() == [0, 2, 1]
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert found.boxes_xyxy.tolist() == [[2, 3, 10, 12], [12, 1, 28, 19], [0, 15, 8, 20]]
    for index, source in enumerate([0, 2, 5]):
        assert np.array_equal(_dense(found, index), masks[source])


def test_a_score_must_exceed_the_threshold() -> None:
    masks = _box_masks(BOXES)
    assert 0.5 not in _keep(BOXES, masks).scores
    assert 0.5 in _keep(BOXES, masks, threshold=0.49).scores


def test_the_best_are_kept_in_the_models_order() -> None:
    masks = _box_masks(BOXES)
    found = _keep(BOXES, masks, threshold=0.1, max_detections=3)
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.6])
    only = _keep(BOXES, masks, threshold=0.1, class_ids=frozenset({1}))
    assert only.class_ids.tolist() == [1]
    assert len(_keep(BOXES, masks, class_ids=frozenset()).scores) == 0


def test_a_box_that_rounds_to_nothing_keeps_a_pixel() -> None:
    # Defect B3 of PaddleX 3.7: an empty crop.
    boxes = np.float32([[0, 0.9, 7.1, 3.0, 7.4, 9.0], [0, 0.8, 2.6, 4.2, 3.4, 4.3]])
    found = _keep(boxes, np.ones((2, HEIGHT, WIDTH), np.int32))
    assert [mask.crop_hw for mask in found.masks] == [(6, 1), (1, 2)]
    assert all(ops.rle_area(mask.counts) > 0 for mask in found.masks)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.float32, np.bool_])
def test_nothing_found_and_other_dtypes(dtype: type) -> None:
    empty = _keep(np.zeros((0, 6), np.float32), np.zeros((0, HEIGHT, WIDTH), dtype))
    assert empty.boxes_xyxy.shape == (0, 4)
    assert empty.class_ids.dtype == np.int64
    assert empty.masks == []
    found = _keep(BOXES, _box_masks(BOXES, dtype))
    assert np.array_equal(_dense(found, 0), _box_masks(BOXES)[0])


def test_a_batch_is_split_by_its_counts() -> None:
    masks = _box_masks(BOXES)
    parts = split_batch([BOXES, np.int32([2, 0, 3]), masks])
    assert [len(boxes) for boxes, _ in parts] == [2, 0, 3]
    assert np.shares_memory(parts[2][1], masks)
    assert np.array_equal(parts[2][0], BOXES[2:5])
    with pytest.raises(BackendError, match="counts of 9 instances"):
        split_batch([BOXES, np.int32([9]), masks])


def test_boxes_come_from_the_masks_where_the_model_has_none() -> None:
    masks = np.zeros((4, HEIGHT, WIDTH), np.uint8)
    masks[0, 3:7, 4:9] = 1
    masks[2, 0, 0] = 1
    masks[3, :, :] = 1
    scores = np.float32([0.5, 0.9, 0.49, 0.7])
    found = instances_from_classes(
        np.int64([3, 1, 2, 0]), scores, masks, InstanceFilter(0.5), mask_threshold=0
    )
    # The second has no pixel (defect B3), the third is below the threshold; 0.5 itself passes.
    assert found.class_ids.tolist() == [3, 0]
    assert found.boxes_xyxy.tolist() == [[4, 3, 9, 7], [0, 0, WIDTH, HEIGHT]]
    assert np.array_equal(_dense(found, 0), masks[0])
    assert np.array_equal(_dense(found, 1), masks[3])


def test_a_picture_without_any_class_is_empty() -> None:
    found = instances_from_classes(
        np.zeros(0, np.int64),
        np.zeros(0, np.float32),
        np.zeros((0, HEIGHT, WIDTH), np.uint8),
        InstanceFilter(0.5),
        mask_threshold=0,
    )
    assert found.boxes_xyxy.shape == (0, 4)
