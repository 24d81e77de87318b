# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpip import ops
from hpip.errors import InvalidInputError
from hpip.types import Float32Array
from tests.reference import detection as oracle

# By how they lie in a map of 17 x 23 cells of 8 pixels: 136 x 184 pixels.
BOXES = {
    "inside": (20, 31, 100, 90),
    "smaller than a cell": (40.5, 40.5, 42, 43),
    "a point": (50, 60, 50, 60),
    "whole image": (0, 0, 184, 136),
    "across the top left": (-60, -50, 70, 60),
    "across the bottom right": (120, 90, 300, 250),
    "left of it": (-90, 10, -30, 60),
    "below it": (10, 150, 60, 290),
    "around it": (-200, -300, 400, 500),
    "wide": (1, 60, 180, 66),
    "in the last cell": (177, 129, 183, 135),
}
BOX_ARRAY = np.array(list(BOXES.values()), np.float32)
FEATURES = np.random.default_rng(0).standard_normal((1, 5, 17, 23)).astype(np.float32)
COUNT = [len(BOXES)]


@pytest.fixture(scope="module")
def paddle() -> Any:
    module = pytest.importorskip("paddle", reason="pooling is compared with Paddle's operator")
    module.set_device("cpu")
    return module


def paddle_roi_align(
    paddle: Any, features: Float32Array, boxes: Float32Array, counts: list[int], *rest: Any
) -> Float32Array:
    arrays = (features, boxes, np.array(counts, np.int32))
    pooled = paddle.vision.ops.roi_align(*map(paddle.to_tensor, arrays), *rest)
    return np.asarray(pooled.numpy())


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [-1, 0, 1, 3])
@pytest.mark.parametrize("output_hw", [(7, 7), (14, 14), (1, 1), (2, 5)])
def test_follows_the_oracle(output_hw: tuple[int, int], sampling_ratio: int, aligned: bool) -> None:
    pooled = ops.roi_align(
        FEATURES,
        BOX_ARRAY,
        COUNT,
        output_hw=output_hw,
        spatial_scale=0.125,
        sampling_ratio=sampling_ratio,
        aligned=aligned,
    )
    for found, box in zip(pooled, BOX_ARRAY, strict=True):
        expected = oracle.pooled(FEATURES[0], box, output_hw, 0.125, sampling_ratio, aligned)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [-1, 0, 2])
@pytest.mark.parametrize(("side", "stride"), [(7, 4), (14, 16), (7, 32)])
def test_is_paddles(
    paddle: Any, side: int, stride: int, sampling_ratio: int, aligned: bool
) -> None:
    rng = np.random.default_rng(stride)
    features = rng.standard_normal((3, 6, 300 // stride, 500 // stride)).astype(np.float32)
    corners = rng.uniform(-40, 540, (25, 2, 2))
    boxes = np.sort(corners, axis=1).reshape(-1, 4).astype(np.float32)
    counts = [9, 0, 16]
    pooled = ops.roi_align(
        features,
        boxes,
        counts,
        output_hw=(side, side),
        spatial_scale=1 / stride,
        sampling_ratio=sampling_ratio,
        aligned=aligned,
    )
    expected = paddle_roi_align(
        paddle, features, boxes, counts, side, 1 / stride, sampling_ratio, aligned
    )
    np.testing.assert_allclose(pooled, expected, rtol=0, atol=1e-5)


def test_inverted_boxes_as_paddle(paddle: Any) -> None:
    boxes = BOX_ARRAY[:, [2, 3, 0, 1]]
    for sampling_ratio, aligned in ((-1, False), (2, False), (2, True)):
        pooled = ops.roi_align(
            FEATURES,
            boxes,
            COUNT,
            output_hw=(7, 7),
            spatial_scale=0.125,
            sampling_ratio=sampling_ratio,
            aligned=aligned,
        )
        expected = paddle_roi_align(
            paddle, FEATURES, boxes, COUNT, 7, 0.125, sampling_ratio, aligned
        )
        np.testing.assert_allclose(pooled, expected, rtol=0, atol=1e-5)


def test_a_bin_without_samples_is_zero() -> None:
    pooled = ops.roi_align(FEATURES, [[50, 60, 50, 60]], [1], output_hw=(3, 3), spatial_scale=0.1)
    assert not pooled.any()
    backwards = ops.roi_align(FEATURES, [[90, 60, 50, 20]], [1], output_hw=(3, 3), spatial_scale=1)
    assert not backwards.any()


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_small_maps(size_hw: tuple[int, int]) -> None:
    features = np.random.default_rng(1).random((1, 3, *size_hw), np.float32)
    boxes = np.array([[0, 0, 1, 1], [-1, -1, 12, 12], [0.2, 0.3, 0.9, 8]], np.float32)
    pooled = ops.roi_align(features, boxes, [3], output_hw=(4, 3))
    for found, box in zip(pooled, boxes, strict=True):
        expected = oracle.pooled(features[0], box, (4, 3), 1.0, -1, True)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_same_bits_on_any_number_of_threads() -> None:
    features = np.concatenate([FEATURES, FEATURES[:, ::-1]])
    boxes, counts = np.concatenate([BOX_ARRAY, BOX_ARRAY]), COUNT * 2
    one = ops.roi_align(features, boxes, counts, output_hw=(7, 7), spatial_scale=0.125)
    for threads in (2, 4, 7, 50):
        many = ops.roi_align(
            features, boxes, counts, output_hw=(7, 7), spatial_scale=0.125, threads=threads
        )
        np.testing.assert_array_equal(many, one)
    alone = ops.roi_align(
        features[1:], boxes[:1], np.array([1]), output_hw=(7, 7), spatial_scale=0.125
    )
    np.testing.assert_array_equal(alone[0], one[len(BOXES)])


def test_levels_fill_one_out() -> None:
    rng = np.random.default_rng(2)
    corners = rng.uniform(0, 500, (20, 2, 2))
    boxes = np.sort(corners, axis=1).reshape(-1, 4).astype(np.float32)
    counts = [12, 8]
    maps = [rng.random((2, 3, 512 // s, 512 // s), np.float32) for s in (4, 8, 16, 32)]
    levels = ops.assign_fpn_levels(boxes, counts)
    out = np.full((20, 3, 7, 7), np.nan, np.float32)
    parts = []
    for level, features in enumerate(maps):
        arguments = (features, levels.boxes_xyxy[level], levels.counts[level])
        scale = 1 / (4 << level)
        ops.roi_align(
            *arguments, output_hw=(7, 7), spatial_scale=scale, out=out, out_rows=levels.rows[level]
        )
        parts.append(ops.roi_align(*arguments, output_hw=(7, 7), spatial_scale=scale))
    np.testing.assert_array_equal(out, np.concatenate(parts)[levels.restore_index[:, 0]])


def test_no_boxes() -> None:
    pooled = ops.roi_align(FEATURES, np.zeros((0, 4)), [0], output_hw=(7, 7), threads=2)
    assert pooled.shape == (0, 5, 7, 7)
    none = ops.roi_align(FEATURES[:0], np.zeros((0, 4)), [], output_hw=(7, 7))
    assert none.shape == (0, 5, 7, 7)


def test_bad_arguments_are_refused() -> None:
    def refused(match: str, *arguments: Any, **options: Any) -> None:
        options = {"output_hw": (7, 7), **options}
        with pytest.raises(InvalidInputError, match=match):
            ops.roi_align(*arguments, **options)

    refused("features, boxes_xyxy: expected", FEATURES[0], BOX_ARRAY, COUNT)
    refused("features: expected float32", FEATURES.astype(np.float64), BOX_ARRAY, COUNT)
    refused("features: expected at least one", FEATURES[:, :, :0], BOX_ARRAY, COUNT)
    refused("boxes_xyxy: expected", FEATURES, BOX_ARRAY[:, :3], COUNT)
    refused("features, boxes_xyxy: expected", FEATURES, BOX_ARRAY[0], COUNT)
    for counts in ([3], [len(BOXES), 1], [-1], [], [len(BOXES), 0]):
        refused("counts", FEATURES, BOX_ARRAY, counts)
    refused("counts: expected integers", FEATURES, BOX_ARRAY, [0.5])
    for value in (np.nan, np.inf, 1e30):
        boxes = BOX_ARRAY.copy()
        boxes[3, 1] = value
        refused(r"boxes_xyxy\[3\]: expected finite", FEATURES, boxes, COUNT)
    for output_hw in ((0, 7), (7,), (7, 5000)):
        refused("output_hw: expected", FEATURES, BOX_ARRAY, COUNT, output_hw=output_hw)
    for scale in (0, -1, np.nan, np.inf):
        refused("spatial_scale: expected", FEATURES, BOX_ARRAY, COUNT, spatial_scale=scale)
    for ratio in (5000, 2.5):
        refused("sampling_ratio: expected", FEATURES, BOX_ARRAY, COUNT, sampling_ratio=ratio)
    refused("threads: expected", FEATURES, BOX_ARRAY, COUNT, threads=0)
    out = np.zeros((20, 5, 7, 7), np.float32)
    refused("out: expected", FEATURES, BOX_ARRAY, COUNT, out=out)
    refused("out: expected", FEATURES, BOX_ARRAY, COUNT, out=out[:11, :, :, :6])
    refused("out: expected", FEATURES, BOX_ARRAY, COUNT, out=out[:11].astype(np.float64))
    refused(
        "out_rows: expected together with out", FEATURES, BOX_ARRAY, COUNT, out_rows=np.arange(11)
    )
    for rows in ([0] * 11, np.arange(11) + 10, np.arange(10), -np.arange(11)):
        refused("out_rows", FEATURES, BOX_ARRAY, COUNT, out=out, out_rows=rows)
