# SPDX-License-Identifier: Apache-2.0
"""Pasting against Paddle's own operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpip import ops
from hpip.types import Float32Array, UInt8Array


@pytest.fixture(scope="module")
def paddle() -> Any:
    module = pytest.importorskip("paddle", reason="pasting is compared with Paddle's operators")
    module.set_device("cpu")
    return module


def assert_passes(pasted: UInt8Array, values: Float32Array, threshold: float) -> None:
    """Every pixel, except where rounding decides."""
    sure = np.abs(values - threshold) >= 1e-5
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(pasted[sure], (values >= threshold)[sure])


def grid_sample(
    paddle: Any, masks: Float32Array, boxes_xyxy: Float32Array, image_hw: tuple[int, int]
) -> Float32Array:
    """PaddleDetection's mask pasting, operator by operator."""
    x0, y0, x1, y1 = (paddle.to_tensor(boxes_xyxy[:, [i]]) for i in range(4))
    ys = (paddle.arange(image_hw[0]).astype("float32") + 0.5 - y0) / (y1 - y0) * 2 - 1
    xs = (paddle.arange(image_hw[1]).astype("float32") + 0.5 - x0) / (x1 - x0) * 2 - 1
    shape = [len(masks), *image_hw]
    grid = paddle.stack([xs.unsqueeze(1).expand(shape), ys.unsqueeze(2).expand(shape)], axis=3)
    source = paddle.to_tensor(masks[:, None])
    sampled = paddle.nn.functional.grid_sample(source, grid, align_corners=False)
    return np.asarray(sampled[:, 0].numpy())


@pytest.mark.parametrize("mask_hw", [(28, 28), (14, 14), (5, 9), (1, 1)])
@pytest.mark.parametrize("image_hw", [(97, 131), (270, 480)])
def test_region_is_grid_sample(
    paddle: Any, mask_hw: tuple[int, int], image_hw: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(-0.2, 1.2, (12, 2, 2)) * image_hw[::-1]
    boxes = np.sort(corners, axis=1).reshape(-1, 4).astype(np.float32)
    masks = rng.random((12, *mask_hw), np.float32)
    values = grid_sample(paddle, masks, boxes, image_hw)
    for threshold in (0.5, 0.1):
        pasted = ops.paste_masks(masks, boxes, image_hw, mask_threshold=threshold)
        assert_passes(pasted, values, threshold)


@pytest.mark.parametrize("mask_hw", [(160, 160), (33, 57), (1, 1), (1, 7)])
@pytest.mark.parametrize("image_hw", [(97, 131), (270, 480), (640, 640), (20, 31)])
def test_image_is_bilinear_interp(
    paddle: Any, mask_hw: tuple[int, int], image_hw: tuple[int, int]
) -> None:
    logits = 3 * np.random.default_rng(1).standard_normal((4, *mask_hw)).astype(np.float32)
    resized = paddle.nn.functional.interpolate(
        paddle.to_tensor(logits[None]),
        size=list(image_hw),
        mode="bilinear",
        align_corners=False,
        align_mode=0,
    )
    pasted = ops.paste_masks(logits, None, image_hw, convention="image", mask_threshold=0)
    assert_passes(pasted, resized[0].numpy(), 0)
