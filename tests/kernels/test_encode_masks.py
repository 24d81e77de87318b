# SPDX-License-Identifier: Apache-2.0
"""Encoding without pixels against pasting, which has its own oracle, and encoding."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpip import ops
from hpip.errors import InvalidInputError
from hpip.types import AnyArray, Float32Array, UInt8Array
from tests.kernels.test_paste import BAD_BOXES, BOXES

IMAGE_HW = (23, 31)
BOX_ARRAY = np.array(list(BOXES.values()), np.float32)
CONVENTIONS: list[Literal["region", "image"]] = ["region", "image"]
Convention = Literal["region", "image"]


def smooth(count: int, height: int, width: int, seed: int = 0) -> Float32Array:
    """Blobs: sums of a few waves, between about -3 and 3."""
    rng = np.random.default_rng(seed)
    y, x = np.arange(height)[:, None] / height, np.arange(width) / width
    waves = rng.uniform(-9, 9, (count, 4, 3))
    values = sum(
        np.sin(wave[:, :1, None] * y + wave[:, 1:2, None] * x + wave[:, 2:, None])
        for wave in waves.transpose(1, 0, 2)
    )
    return np.asarray(values, np.float32)


def noise(count: int, height: int, width: int, seed: int = 0) -> Float32Array:
    return np.random.default_rng(seed).random((count, height, width), np.float32)


def assert_equal_to_pasting(
    masks: Float32Array, boxes: AnyArray, image_hw: tuple[int, int], **options: object
) -> None:
    pasted = ops.paste_masks(masks, boxes, image_hw, **options)  # type: ignore[call-overload]
    crops = ops.crop_boxes(boxes, image_hw)
    encoded = ops.encode_masks(masks, boxes, image_hw, **options)  # type: ignore[arg-type]
    for mask, whole, (x0, y0, x1, y1) in zip(encoded, pasted, crops.tolist(), strict=True):
        assert mask.offset_yx == (y0, x0)
        assert mask.crop_hw == (y1 - y0, x1 - x0)
        crop = whole[y0:y1, x0:x1]
        np.testing.assert_array_equal(ops.decode_rle(mask.counts, mask.crop_hw), crop)
        assert mask.counts == ops.encode_rle(crop)
    images = ops.encode_masks(masks, boxes, image_hw, frame="image", **options)  # type: ignore[arg-type]
    for mask, whole in zip(images, pasted, strict=True):
        assert (mask.offset_yx, mask.crop_hw) == ((0, 0), image_hw)
        assert mask.counts == ops.encode_rle(whole)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("box", BOX_ARRAY, ids=list(BOXES))
@pytest.mark.parametrize("threshold", [-0.2, 0.0, 0.2, 0.5])
def test_boxes_anywhere(convention: Convention, box: Float32Array, threshold: float) -> None:
    for masks in (smooth(1, 7, 5), noise(1, 6, 9)):
        assert_equal_to_pasting(
            masks, box[None], IMAGE_HW, convention=convention, mask_threshold=threshold
        )


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("mask_hw", [(1, 1), (1, 6), (6, 1), (2, 3), (28, 28), (80, 50), (200, 9)])
@pytest.mark.parametrize("image_hw", [(1, 1), (1, 17), (17, 1), (13, 8), (150, 400), (301, 201)])
def test_sizes_up_and_down(
    convention: Convention, mask_hw: tuple[int, int], image_hw: tuple[int, int]
) -> None:
    boxes = np.array([[0.3, -0.4, image_hw[1] + 0.2, image_hw[0] - 0.1]] * 2, np.float32)
    for masks in (smooth(2, *mask_hw), noise(2, *mask_hw)):
        assert_equal_to_pasting(masks, boxes, image_hw, convention=convention, mask_threshold=0.4)


@settings(max_examples=60, deadline=None)
@given(
    convention=st.sampled_from(CONVENTIONS),
    seed=st.integers(0, 2**32 - 1),
    threshold=st.floats(-1, 1.5),
    inclusive=st.booleans(),
    levels=st.integers(1, 6),
    mask_hw=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    image_hw=st.tuples(st.integers(1, 90), st.integers(1, 150)),
)
def test_flat_masks(
    convention: Convention,
    seed: int,
    threshold: float,
    inclusive: bool,
    levels: int,
    mask_hw: tuple[int, int],
    image_hw: tuple[int, int],
) -> None:
    """Few different values: whole areas at one level, often next to each other."""
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, levels, (2, *mask_hw)).astype(np.float32) / np.float32(4)
    corners = rng.uniform(-0.2, 1.2, (2, 2, 2)) * image_hw[::-1]
    boxes = np.sort(corners, axis=1).reshape(2, 4).astype(np.float32)
    values = [rng.choice(masks.ravel()), threshold]
    pasted, encoded = (
        [run(float(value)) for value in values]
        for run in (
            lambda value: ops.paste_masks(
                masks,
                boxes,
                image_hw,
                convention=convention,
                mask_threshold=value,
                inclusive=inclusive,
            ),
            lambda value: dense(
                masks,
                boxes,
                image_hw,
                convention=convention,
                mask_threshold=value,
                inclusive=inclusive,
            ),
        )
    )
    near = [
        ops.paste_masks(
            masks,
            boxes,
            image_hw,
            convention=convention,
            mask_threshold=float(value) + side * 1e-5,
        )
        for value in values
        for side in (-1, 1)
    ]
    for index in range(2):
        sure = near[2 * index] == near[2 * index + 1]
        np.testing.assert_array_equal(pasted[index][sure], encoded[index][sure])


def dense(
    masks: Float32Array, boxes: AnyArray, image_hw: tuple[int, int], **options: object
) -> UInt8Array:
    encoded = ops.encode_masks(masks, boxes, image_hw, frame="image", **options)  # type: ignore[arg-type]
    return np.array([ops.decode_rle(mask.counts, mask.crop_hw) for mask in encoded], np.uint8)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_flat_mask_at_the_threshold(convention: Convention) -> None:
    masks = np.full((1, 9, 7), 0.5, np.float32)
    box = np.array([[-50, -50, 80, 80]], np.float32)
    for inclusive in (False, True):
        assert_equal_to_pasting(masks, box, (40, 30), convention=convention, inclusive=inclusive)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-42])
def test_wild_values(convention: Convention, wild: float) -> None:
    masks = smooth(3, 9, 7)
    masks[0, 4, 3] = masks[1, 0, 0] = masks[2, 3] = wild
    boxes = np.array([[2, 3, 60, 47]] * 3, np.float32)
    with np.errstate(all="ignore"):
        assert_equal_to_pasting(masks, boxes, (50, 70), convention=convention, mask_threshold=0.1)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_cells_whose_sum_overflows(convention: Convention) -> None:
    """Finite values, but in each row of pixels other columns may change."""
    signs = np.random.default_rng(0).choice([-1, 1], (2, 3, 40))
    masks = (signs * np.linspace(1e38, 3e38, 40)).astype(np.float32)
    boxes = np.array([[0, 0, 500, 400], [3, -7, 420, 300]], np.float32)
    with np.errstate(all="ignore"):
        assert_equal_to_pasting(masks, boxes, (400, 500), convention=convention, mask_threshold=0.1)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_each_mask_as_if_alone_on_any_number_of_threads(convention: Convention) -> None:
    masks = smooth(9, 28, 28)
    boxes = np.random.default_rng(0).uniform(0, 90, (9, 2, 2)) + [[[0, 0]], [[80, 60]]][1]
    boxes = np.sort(boxes, axis=1).reshape(9, 4).astype(np.float32)
    indices = [3, 3, 8, 0]
    alone = [
        ops.encode_masks(masks[[i]], boxes[[i]], (200, 180), convention=convention)[0]
        for i in indices
    ]
    for threads in (1, 2, 7):
        assert alone == ops.encode_masks(
            masks,
            boxes[indices],
            (200, 180),
            convention=convention,
            indices=indices,
            threads=threads,
        )


def resized(
    mask: Float32Array, upsampling: ops.Upsampling, window: AnyArray | None
) -> Float32Array:
    """The first of two resizes, by the reference's arithmetic in float32."""

    def axis(length: int, target: int, kept: int) -> tuple[AnyArray, AnyArray, AnyArray]:
        ratio = np.float32(length) / np.float32(target)
        position = (np.arange(kept, dtype=np.float32) + np.float32(0.5)) * ratio - np.float32(0.5)
        position = np.maximum(position, np.float32(0))
        low = np.minimum(position.astype(np.int64), length - 1)
        return low, np.minimum(low + 1, length - 1), position - low.astype(np.float32)

    kept_hw = upsampling.kept_hw or upsampling.size_hw
    (y0, y1, fy), (x0, x1, fx) = (
        axis(*lengths) for lengths in zip(mask.shape, upsampling.size_hw, kept_hw, strict=True)
    )
    rows = mask[y0] * (1 - fy)[:, None] + mask[y1] * fy[:, None]
    values = rows[:, x0] * (1 - fx) + rows[:, x1] * fx
    if window is not None:
        left, top, right, bottom = window
        inside = np.zeros_like(values)
        inside[top:bottom, left:right] = values[top:bottom, left:right]
        values = inside
    return np.asarray(values, np.float32)


@pytest.mark.parametrize("size_hw", [(60, 90), (7, 11), (15, 4)])
@pytest.mark.parametrize("kept", [None, 0.6])
@pytest.mark.parametrize("windowed", [False, True])
@pytest.mark.parametrize("image_hw", [(75, 111), (20, 30), (200, 150)])
def test_two_resizes(
    size_hw: tuple[int, int], kept: float | None, windowed: bool, image_hw: tuple[int, int]
) -> None:
    masks = smooth(4, 15, 22)
    kept_hw = None if kept is None else (int(size_hw[0] * kept) + 1, int(size_hw[1] * kept) + 1)
    limit_hw = kept_hw or size_hw
    corners = np.random.default_rng(1).uniform(-0.1, 1.1, (4, 2, 2)) * limit_hw[::-1]
    windows = np.sort(corners, axis=1).clip(0, limit_hw[::-1]).reshape(4, 4).astype(np.int64)
    upsampling = ops.Upsampling(size_hw, kept_hw, windows if windowed else None)
    boxes = np.array([[5.2, 3.1, image_hw[1] * 0.8, image_hw[0] - 4]] * 4, np.float32)
    sources = np.array(
        [resized(m, upsampling, windows[n] if windowed else None) for n, m in enumerate(masks)]
    )
    options = {"convention": "image", "mask_threshold": 0.3, "inclusive": False}
    assert ops.encode_masks(masks, boxes, image_hw, upsampling=upsampling, **options) == (  # type: ignore[arg-type]
        ops.encode_masks(sources, boxes, image_hw, **options)  # type: ignore[arg-type]
    )
    assert_equal_to_pasting(sources, boxes, image_hw, **options)


def test_no_masks_and_no_boxes() -> None:
    none = np.zeros((0, 7, 5), np.float32)
    assert ops.encode_masks(none, np.zeros((0, 4)), IMAGE_HW) == []
    assert ops.encode_masks(none, None, IMAGE_HW, convention="image", frame="image") == []
    masks = smooth(2, 7, 5)
    assert ops.encode_masks(
        masks, None, IMAGE_HW, convention="image", frame="image"
    ) == ops.encode_masks(masks, BOX_ARRAY[:2], IMAGE_HW, convention="image", frame="image")
    for options in ({}, {"frame": "image"}, {"convention": "image"}):
        with pytest.raises(InvalidInputError, match="boxes_xyxy: expected boxes"):
            ops.encode_masks(masks, None, IMAGE_HW, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("box", BAD_BOXES.values(), ids=list(BAD_BOXES))
def test_bad_boxes_are_refused(box: list[float]) -> None:
    for convention in CONVENTIONS:
        with pytest.raises(InvalidInputError, match=r"boxes_xyxy\[1\]: expected finite"):
            ops.encode_masks(smooth(2, 7, 5), [[0, 0, 1, 1], box], IMAGE_HW, convention=convention)


BAD_ARGUMENTS = {
    "masks: expected": {"masks": np.zeros((7, 5), np.float32)},
    "masks: expected a float32": {"masks": np.zeros((1, 7, 5))},
    "masks: expected at least one row": {"masks": np.zeros((1, 0, 5), np.float32)},
    "boxes_xyxy: expected": {"boxes_xyxy": np.zeros((2, 4))},
    "image_hw: expected": {"image_hw": (0, 5)},
    "convention: expected": {"convention": "pasted"},
    "frame: expected": {"frame": "whole"},
    "mask_threshold: expected": {"mask_threshold": np.inf},
    r"indices\[0\]: expected": {"indices": [1]},
    "indices: expected integers": {"indices": [0.5]},
    "threads: expected": {"threads": 0},
    "size_hw: expected": {"upsampling": ops.Upsampling((0, 4))},
    "kept_hw: expected": {"upsampling": ops.Upsampling((4, 4), (4, -1))},
    "upsampling: expected a size": {"upsampling": ops.Upsampling((4, 4), (4, 5))},
    "windows_xyxy: expected integers": {
        "upsampling": ops.Upsampling((4, 4), None, np.ones((1, 4)))
    },  # type: ignore[arg-type]
    r"windows_xyxy\[0\]: expected": {
        "upsampling": ops.Upsampling((4, 4), None, np.array([[0, 0, 5, 4]]))
    },
    "upsampling: expected none": {"upsampling": ops.Upsampling((4, 4)), "convention": "region"},
}


@pytest.mark.parametrize("message", BAD_ARGUMENTS)
def test_bad_arguments_are_refused(message: str) -> None:
    arguments: dict[str, object] = {
        "masks": smooth(1, 7, 5),
        "boxes_xyxy": BOX_ARRAY[:1],
        "image_hw": IMAGE_HW,
        "convention": "image",
    }
    with pytest.raises(InvalidInputError, match=message):
        ops.encode_masks(**{**arguments, **BAD_ARGUMENTS[message]})  # type: ignore[arg-type]
