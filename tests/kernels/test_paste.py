# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpip import ops
from hpip.errors import InvalidInputError
from hpip.types import AnyArray, Float32Array, PasteConvention, RleMask, UInt8Array
from tests.reference import masks as oracle

IMAGE_HW = (23, 31)
CONVENTIONS: list[PasteConvention] = ["region", "image", "pasted"]

# Boxes by how they lie in IMAGE_HW.
BOXES = {
    "inside": (3.2, 4.7, 20.4, 15.1),
    "whole pixels": (3, 4, 20, 15),
    "whole image": (0, 0, 31, 23),
    "across the top left": (-7.5, -3.25, 6.5, 9.5),
    "across the bottom right": (20.5, 14.5, 40.5, 60.5),
    "around the image": (-10, -10, 50, 50),
    "above it": (4, -9, 12, -2),
    "right of it": (33, 4, 40, 12),
    "rounds to nothing": (7.6, 8.1, 8.4, 8.3),
    "half to even leaves nothing": (3.5, 6.5, 4.5, 7.5),
    "no width": (8, 3, 8, 15),
    "a point": (0, 23, 0, 23),
    "thin": (0, 11.2, 31, 11.4),
    "huge": (-1e30, -1e30, 1e30, 1e30),
}
BOX_ARRAY = np.array(list(BOXES.values()), np.float32)


def masks_for(convention: PasteConvention, count: int, seed: int = 0) -> Float32Array:
    size_hw = {"region": (7, 5), "image": (6, 9), "pasted": IMAGE_HW}[convention]
    return np.random.default_rng(seed).random((count, *size_hw), np.float32)


def oracle_values(
    convention: PasteConvention, mask: Float32Array, box: Float32Array
) -> Float32Array:
    if convention == "region":
        return oracle.region_values(mask, box, IMAGE_HW)
    return oracle.image_values(mask, IMAGE_HW) if convention == "image" else mask


def assert_passes(pasted: UInt8Array, values: Float32Array, threshold: float) -> None:
    """Every pixel, except where rounding decides."""
    sure = np.abs(values - threshold) >= 1e-5
    np.testing.assert_array_equal(pasted[sure], (values > threshold)[sure])


def some_boxes(count: int, image_hw: tuple[int, int], seed: int = 0) -> Float32Array:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-0.2, 1.2, (count, 2, 2)) * image_hw[::-1]
    return np.sort(corners, axis=1).reshape(count, 4).astype(np.float32)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("box", BOX_ARRAY, ids=list(BOXES))
@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_paste_follows_the_oracle(
    convention: PasteConvention, box: Float32Array, threshold: float
) -> None:
    masks = masks_for(convention, 1)
    values = oracle_values(convention, masks[0], box)
    whole = ops.paste_masks(
        masks, box[None], IMAGE_HW, convention=convention, mask_threshold=threshold
    )
    assert whole.shape == (1, *IMAGE_HW)
    assert_passes(whole[0], values, threshold)
    (crop,) = ops.paste_masks(
        masks, box[None], IMAGE_HW, convention=convention, mask_threshold=threshold, crop=True
    )
    x0, y0, x1, y1 = oracle.crop_box(box, IMAGE_HW)
    np.testing.assert_array_equal(crop, whole[0, y0:y1, x0:x1])


@pytest.mark.parametrize("convention", ["region", "image"])
@pytest.mark.parametrize("mask_hw", [(1, 1), (1, 6), (6, 1), (2, 3), (28, 28), (40, 50)])
@pytest.mark.parametrize("image_hw", [(1, 1), (1, 17), (17, 1), (13, 8)])
def test_odd_sizes(
    convention: PasteConvention, mask_hw: tuple[int, int], image_hw: tuple[int, int]
) -> None:
    mask = np.random.default_rng(1).standard_normal((1, *mask_hw)).astype(np.float32)
    box = np.array([[0.3, -0.4, image_hw[1] + 0.2, image_hw[0] - 0.1]], np.float32)
    values = (
        oracle.region_values(mask[0], box[0], image_hw)
        if convention == "region"
        else oracle.image_values(mask[0], image_hw)
    )
    pasted = ops.paste_masks(mask, box, image_hw, convention=convention, mask_threshold=0.1)
    assert_passes(pasted[0], values, 0.1)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_each_mask_as_if_alone_on_any_number_of_threads(
    convention: PasteConvention,
) -> None:
    image_hw = (211, 173)
    size_hw = {"region": (28, 28), "image": (53, 44), "pasted": image_hw}[convention]
    masks = np.random.default_rng(2).random((9, *size_hw), np.float32)
    boxes = some_boxes(9, image_hw)
    alone = [
        ops.paste_masks(masks[n : n + 1], boxes[n : n + 1], image_hw, convention=convention)[0]
        for n in range(9)
    ]
    crops = ops.crop_boxes(boxes, image_hw)
    for threads in (1, 4, 7):
        whole = ops.paste_masks(masks, boxes, image_hw, convention=convention, threads=threads)
        np.testing.assert_array_equal(whole, alone)
        cut = ops.paste_masks(
            masks, boxes, image_hw, convention=convention, crop=True, threads=threads
        )
        for n, (x0, y0, x1, y1) in enumerate(crops):
            np.testing.assert_array_equal(cut[n], alone[n][y0:y1, x0:x1])


@settings(max_examples=30)
@given(
    st.sampled_from(CONVENTIONS),
    st.integers(0, 2**32 - 1),
    st.floats(-0.5, 1.5),
    st.floats(-0.5, 1.5),
)
def test_a_higher_threshold_never_adds_pixels(
    convention: PasteConvention, seed: int, one: float, other: float
) -> None:
    masks = masks_for(convention, 3, seed)
    boxes = some_boxes(3, IMAGE_HW, seed)
    low, high = (
        ops.paste_masks(masks, boxes, IMAGE_HW, convention=convention, mask_threshold=threshold)
        for threshold in sorted((one, other))
    )
    strict = ops.paste_masks(
        masks,
        boxes,
        IMAGE_HW,
        convention=convention,
        mask_threshold=max(one, other),
        inclusive=False,
    )
    assert (low >= high).all()
    assert (high >= strict).all()


def test_equal_values_pass_only_if_inclusive() -> None:
    masks = np.full((1, 4, 4), 0.5, np.float32)
    box = np.array([[0, 0, 31, 23]], np.float32)
    for convention in ("image", "pasted"):
        values = np.full((1, *IMAGE_HW), 0.5, np.float32) if convention == "pasted" else masks
        for inclusive in (False, True):
            pasted = ops.paste_masks(
                values, box, IMAGE_HW, convention=convention, inclusive=inclusive
            )
            assert (pasted == inclusive).all()


def test_outside_of_a_region_is_zero_for_the_threshold() -> None:
    masks = np.ones((1, 4, 4), np.float32)
    box = np.array([[5, 5, 9, 9]], np.float32)
    assert ops.paste_masks(masks, box, IMAGE_HW, mask_threshold=0.0).all()
    above_zero = ops.paste_masks(masks, box, IMAGE_HW, mask_threshold=0.0, inclusive=False)
    assert not above_zero[0, :4].any()
    assert above_zero[0, 5:9, 5:9].all()


def test_a_box_without_width_has_an_empty_region() -> None:
    masks = np.ones((1, 4, 4), np.float32)
    (crop,) = ops.paste_masks(masks, [[8, 3, 8, 15]], IMAGE_HW, crop=True)
    assert crop.shape == (12, 1)
    assert not crop.any()


def test_nan_is_background() -> None:
    masks = np.full((1, 4, 4), np.nan, np.float32)
    box = np.array([[0, 0, 31, 23]], np.float32)
    for convention in ("region", "image"):
        pasted = ops.paste_masks(masks, box, IMAGE_HW, convention=convention, mask_threshold=-1)
        assert not pasted[0, 4:-4, 4:-4].any()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32", "float64"])
def test_pasted_masks_of_any_dtype_and_strides(dtype: str) -> None:
    stack = (np.random.default_rng(3).random((4, 2 * IMAGE_HW[0], IMAGE_HW[1])) * 3).astype(dtype)
    boxes = some_boxes(4, IMAGE_HW)
    for masks in (stack[:, ::2], stack[::-1, ::-2], np.asfortranarray(stack[:, ::2])):
        expected = masks > 0.5
        pasted = ops.paste_masks(masks, boxes, IMAGE_HW, convention="pasted")
        np.testing.assert_array_equal(pasted, expected)
        crops = ops.paste_masks(masks, boxes, IMAGE_HW, convention="pasted", crop=True)
        for crop, mask, (x0, y0, x1, y1) in zip(
            crops, expected, ops.crop_boxes(boxes, IMAGE_HW), strict=True
        ):
            np.testing.assert_array_equal(crop, mask[y0:y1, x0:x1])


@pytest.mark.parametrize("convention", ["region", "image"])
def test_masks_need_not_be_contiguous(convention: PasteConvention) -> None:
    masks = np.random.default_rng(4).random((6, 12, 10), np.float32)
    boxes = some_boxes(3, IMAGE_HW)
    for view in (masks[::2, ::2, ::2], masks[:3, ::-1], np.asfortranarray(masks[:3])):
        np.testing.assert_array_equal(
            ops.paste_masks(view, boxes, IMAGE_HW, convention=convention),
            ops.paste_masks(view.copy(), boxes, IMAGE_HW, convention=convention),
        )


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_no_masks(convention: PasteConvention) -> None:
    masks = masks_for(convention, 0)
    boxes = np.zeros((0, 4), np.float32)
    pasted = ops.paste_masks(masks, boxes, IMAGE_HW, convention=convention, threads=2)
    assert pasted.shape == (0, *IMAGE_HW)
    assert ops.paste_masks(masks, boxes, IMAGE_HW, convention=convention, crop=True) == []
    assert ops.crop_boxes(boxes, IMAGE_HW).shape == (0, 4)
    assert ops.encode_mask_crops(masks, boxes) == []


def test_boxes_may_be_left_out_where_nothing_depends_on_them() -> None:
    masks = masks_for("image", 2)
    pasted = ops.paste_masks(masks, None, IMAGE_HW, convention="image")
    np.testing.assert_array_equal(
        pasted, ops.paste_masks(masks, BOX_ARRAY[:2], IMAGE_HW, convention="image")
    )
    with pytest.raises(InvalidInputError, match="boxes_xyxy: expected boxes"):
        ops.paste_masks(masks, None, IMAGE_HW)
    with pytest.raises(InvalidInputError, match="expected boxes_xyxy and no out"):
        ops.paste_masks(masks, None, IMAGE_HW, convention="image", crop=True)  # type: ignore[call-overload]


def test_out_is_filled_and_returned() -> None:
    out = np.full((len(BOXES), *IMAGE_HW), 9, np.uint8)
    masks = masks_for("region", len(BOXES))
    assert ops.paste_masks(masks, BOX_ARRAY, IMAGE_HW, out=out) is out
    np.testing.assert_array_equal(out, ops.paste_masks(masks, BOX_ARRAY, IMAGE_HW))
    for wrong in (out[:-1], out.astype(np.int8), out[:, ::-1], out.transpose(0, 2, 1)):
        with pytest.raises(InvalidInputError, match="out: expected"):
            ops.paste_masks(masks, BOX_ARRAY, IMAGE_HW, out=wrong)


@pytest.mark.parametrize("box", BOX_ARRAY, ids=list(BOXES))
def test_crop_box_follows_the_oracle(box: Float32Array) -> None:
    (crop,) = ops.crop_boxes(box[None], IMAGE_HW)
    assert tuple(crop) == oracle.crop_box(box, IMAGE_HW)


# Defect B3 of PaddleX 3.7: a box that rounds to nothing gives an empty crop.
def test_no_crop_is_empty() -> None:
    boxes = [[7.6, 8.1, 8.4, 8.3], [3.5, 6.5, 4.5, 7.5], [31, 23, 31, 23], [40, -9, 41, -8]]
    crops = ops.crop_boxes(boxes, IMAGE_HW)
    assert crops.tolist() == [[7, 8, 9, 9], [3, 6, 5, 8], [30, 22, 31, 23], [30, 0, 31, 1]]


@given(
    st.lists(st.tuples(*[st.floats(-40, 80, width=32)] * 4), max_size=5),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_crops_lie_in_the_image_and_keep_paddlex_rounding(
    corners: list[tuple[float, float, float, float]], image_hw: tuple[int, int]
) -> None:
    boxes = np.array(corners, np.float32).reshape(-1, 2, 2)
    boxes.sort(axis=1)
    for box, (x0, y0, x1, y1) in zip(
        boxes.reshape(-1, 4), ops.crop_boxes(boxes.reshape(-1, 4), image_hw), strict=True
    ):
        assert 0 <= x0 < x1 <= image_hw[1]
        assert 0 <= y0 < y1 <= image_hw[0]
        clipped = [min(max(float(v), 0), image_hw[1 - i % 2]) for i, v in enumerate(box)]
        rounded = [round(value) for value in clipped]
        if rounded[0] < rounded[2]:
            assert [x0, x1] == rounded[::2]
        if rounded[1] < rounded[3]:
            assert [y0, y1] == rounded[1::2]


BAD_BOXES = {
    "nan": [0, np.nan, 4, 4],
    "infinite": [0, 0, np.inf, 4],
    "beyond float32": [0, 0, 1e300, 4],
    "inverted x": [4, 0, 3, 4],
    "inverted y": [0, 4, 3, 2],
}


@pytest.mark.parametrize("box", BAD_BOXES.values(), ids=list(BAD_BOXES))
@pytest.mark.parametrize("crop", [False, True])
def test_bad_boxes_are_refused(box: list[float], crop: bool) -> None:
    boxes = [[0, 0, 1, 1], box]
    with pytest.raises(InvalidInputError, match=r"boxes_xyxy\[1\]: expected finite"):
        ops.paste_masks(masks_for("region", 2), boxes, IMAGE_HW, crop=crop)  # type: ignore[call-overload]
    with pytest.raises(InvalidInputError, match=r"boxes_xyxy\[1\]: expected finite"):
        ops.encode_mask_crops(masks_for("pasted", 2), boxes)


def test_bad_arguments_are_refused() -> None:
    masks, boxes = masks_for("region", 2), BOX_ARRAY[:2]
    with pytest.raises(InvalidInputError, match="masks: expected"):
        ops.paste_masks(masks[0], boxes, IMAGE_HW)
    with pytest.raises(InvalidInputError, match="masks: expected a float32"):
        ops.paste_masks(masks.astype(np.float64), boxes, IMAGE_HW)
    with pytest.raises(InvalidInputError, match="masks: expected at least one row"):
        ops.paste_masks(masks[:, :0], boxes, IMAGE_HW)
    with pytest.raises(InvalidInputError, match="masks: expected pasted masks"):
        ops.paste_masks(masks, boxes, IMAGE_HW, convention="pasted")
    for wrong in (boxes[0], boxes[:1], boxes[:, :3]):
        with pytest.raises(InvalidInputError, match="boxes_xyxy: expected"):
            ops.paste_masks(masks, wrong, IMAGE_HW)
    with pytest.raises(InvalidInputError, match="boxes_xyxy: expected real numbers"):
        ops.crop_boxes([["a", "b", "c", "d"]], IMAGE_HW)
    with pytest.raises(InvalidInputError, match="convention: expected"):
        ops.paste_masks(masks, boxes, IMAGE_HW, convention="box")  # type: ignore[call-overload]
    for image_hw in [(0, 5), (5,), (5, -1), (5.0, 5)]:
        with pytest.raises(InvalidInputError, match="image_hw: expected"):
            ops.paste_masks(masks, boxes, image_hw)  # type: ignore[call-overload]
    with pytest.raises(InvalidInputError, match="mask_threshold: expected"):
        ops.paste_masks(masks, boxes, IMAGE_HW, mask_threshold=np.nan)
    for count in (0, 2):
        with pytest.raises(InvalidInputError, match="threads: expected"):
            ops.paste_masks(masks[:count], boxes[:count], IMAGE_HW, threads=0)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float32", "float64"])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
def test_encode_mask_crops_is_encoding_each_crop(dtype: str, layout: object) -> None:
    assert callable(layout)
    masks: AnyArray = layout(masks_for("pasted", 5).round(2).astype(dtype))
    indices = [4, 0, 0, 2]
    boxes = BOX_ARRAY[[0, 3, 5, 8]]
    for inclusive in (False, True):
        expected = []
        for index, (x0, y0, x1, y1) in zip(indices, ops.crop_boxes(boxes, IMAGE_HW), strict=True):
            crop = masks[index, y0:y1, x0:x1]
            foreground = crop >= 0.5 if inclusive else crop > 0.5
            expected.append(RleMask(ops.encode_rle(foreground), crop.shape, (int(y0), int(x0))))
        for threads in (1, 4, 7):
            found = ops.encode_mask_crops(
                masks, boxes, indices=indices, inclusive=inclusive, threads=threads
            )
            assert found == expected
    everything = ops.encode_mask_crops(masks, BOX_ARRAY[:5])
    assert everything == ops.encode_mask_crops(masks, BOX_ARRAY[:5], indices=np.arange(5))


def test_a_single_large_crop_is_shared_among_threads() -> None:
    masks = np.random.default_rng(0).random((1, 1100, 1300), np.float32)
    box = [[3, 4, 1290, 1090]]
    (expected,) = ops.encode_mask_crops(masks, box)
    assert expected.counts == ops.encode_rle(masks[0, 4:1090, 3:1290] > 0.5)
    for threads in (4, 7):
        assert ops.encode_mask_crops(masks, box, threads=threads) == [expected]


def test_indices_that_do_not_fit_are_refused() -> None:
    masks = masks_for("pasted", 3)
    for indices in ([3], [-1], [0.5], [[0]], [0, 1]):
        with pytest.raises(InvalidInputError, match=r"indices|boxes_xyxy: expected"):
            ops.encode_mask_crops(masks, BOX_ARRAY[:1], indices=indices)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="boxes_xyxy: expected"):
        ops.encode_mask_crops(masks, BOX_ARRAY[:1])
    with pytest.raises(InvalidInputError, match="masks: expected"):
        ops.encode_mask_crops(masks[0], BOX_ARRAY[:1])
    with pytest.raises(InvalidInputError, match="image_hw: expected"):
        ops.encode_mask_crops(masks[:, :, :0], BOX_ARRAY[:3])
    with pytest.raises(InvalidInputError, match="threads: expected"):
        ops.encode_mask_crops(masks, BOX_ARRAY[:3], threads=0)


@pytest.mark.parametrize("axis", [0, 1])
def test_boxes_wider_than_float32_are_refused(axis: int) -> None:
    box = [0.0, 0.0, 4.0, 4.0]
    box[axis], box[axis + 2] = -3e38, 3e38
    masks = np.ones((1, 4, 4), np.float32)
    for call in (
        lambda: ops.paste_masks(masks, [box], (8, 8)),
        lambda: ops.paste_masks(masks, [box], (8, 8), crop=True),
        lambda: ops.crop_boxes([box], (8, 8)),
    ):
        with pytest.raises(InvalidInputError, match="that float32 can hold"):
            call()
