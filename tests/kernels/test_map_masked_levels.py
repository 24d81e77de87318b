# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from hpip import ops
from hpip.errors import InvalidInputError
from hpip.types import AnyArray, RleMask, UInt8Array


def scene(
    image_hw: tuple[int, int], count: int, seed: int = 0
) -> tuple[UInt8Array, list[RleMask], UInt8Array, list[AnyArray]]:
    """A picture, masks in it, levels, and the masks at the picture's size."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*image_hw, 3), np.uint8)
    levels = rng.integers(0, 256, (count, 3, 256), np.uint8)
    masks, wholes = [], []
    for _ in range(count):
        height, width = (int(rng.integers(1, side + 1)) for side in image_hw)
        y, x = (
            int(rng.integers(image_hw[0] - height + 1)),
            int(rng.integers(image_hw[1] - width + 1)),
        )
        crop = rng.random((height, width)) < rng.choice([0.05, 0.5, 0.95, 1.0])
        masks.append(RleMask(ops.encode_rle(crop), (height, width), (y, x)))
        whole = np.zeros(image_hw, bool)
        whole[y : y + height, x : x + width] = crop
        wholes.append(whole)
    return image, masks, levels, wholes


@pytest.mark.parametrize("image_hw", [(1, 1), (7, 63), (40, 64), (33, 65), (300, 210)])
@pytest.mark.parametrize("threads", [1, 3])
def test_pixels_under_masks_change_in_order(image_hw: tuple[int, int], threads: int) -> None:
    image, masks, levels, wholes = scene(image_hw, 4)
    expected = image.copy()
    for whole, table in zip(wholes, levels, strict=True):
        for channel in range(3):
            plane = expected[..., channel]
            plane[whole] = table[channel][plane[whole]]
    ops.map_masked_levels(image, masks, levels, threads=threads)
    np.testing.assert_array_equal(image, expected)


def test_rows_may_have_any_stride() -> None:
    image, masks, levels, _ = scene((20, 30), 2)
    expected = image.copy()
    ops.map_masked_levels(expected, masks, levels)
    wide = np.zeros((20, 50, 3), np.uint8)
    wide[:, 7:37] = image
    ops.map_masked_levels(wide[:, 7:37], masks, levels)
    np.testing.assert_array_equal(wide[:, 7:37], expected)
    assert not wide[:, :7].any()
    assert not wide[:, 37:].any()


def test_bad_arguments_are_refused() -> None:
    image, masks, levels, _ = scene((20, 30), 2)
    outside = [RleMask(b"4", (2, 2), (19, 0)), masks[1]]
    with pytest.raises(InvalidInputError, match=r"masks\[0\]: expected a crop inside"):
        ops.map_masked_levels(image, outside, levels)
    with pytest.raises(InvalidInputError, match="counts: "):
        ops.map_masked_levels(image, [RleMask(b"5", (2, 2), (0, 0))], levels[:1])
    with pytest.raises(InvalidInputError, match="levels: expected"):
        ops.map_masked_levels(image, masks, levels[:1])
    with pytest.raises(InvalidInputError, match="image: expected 3 channels"):
        ops.map_masked_levels(image[..., 0].copy(), masks, levels)
    with pytest.raises(InvalidInputError, match="image: expected"):
        ops.map_masked_levels(image.astype(np.float32), masks, levels)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="threads: expected"):
        ops.map_masked_levels(image, masks, levels, threads=0)
    image.setflags(write=False)
    with pytest.raises(InvalidInputError, match="image: expected an array that can be written"):
        ops.map_masked_levels(image, masks, levels)
