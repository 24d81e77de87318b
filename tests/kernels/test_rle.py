# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from pycocotools import mask as coco

from hpip import ops
from hpip.errors import InvalidInputError
from hpip.types import AnyArray, UInt8Array
from tests.reference import rle as oracle

MASKS = st_numpy.arrays(
    np.uint8, st.tuples(st.integers(0, 9), st.integers(0, 70)), elements=st.integers(0, 1)
)
RUNS = st.lists(st.one_of(st.integers(0, 40), st.just(0), st.integers(0, 2**20)), max_size=12)

DTYPES = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float32",
    "float64",
]

LAYOUTS = {
    "c": lambda mask: mask,
    "fortran": np.asfortranarray,
    "flipped": lambda mask: mask[::-1, ::-1],
    "every_other_column": lambda mask: np.repeat(mask, 2, axis=1)[:, ::2],
    "every_other_row": lambda mask: np.repeat(mask, 2, axis=0)[::2],
    "transposed": lambda mask: np.ascontiguousarray(mask.T).T,
    "crop": lambda mask: np.pad(mask, 3)[3:-3, 3:-3],
    "byte_swapped": lambda mask: mask.astype(mask.dtype.newbyteorder()),
    "misaligned": lambda mask: _misaligned(mask),
}  # fmt: skip


def _misaligned(mask: AnyArray) -> AnyArray:
    memory = np.zeros(mask.nbytes + 1, np.uint8)[1:]
    copy = memory.view(mask.dtype).reshape(mask.shape)
    copy[:] = mask
    return copy


def coco_counts(mask: AnyArray) -> bytes:
    foreground = np.asfortranarray((mask != 0).astype(np.uint8))
    counts = coco.encode(foreground)["counts"]
    assert isinstance(counts, bytes)
    return counts


def blobs(height: int, width: int, seed: int = 0) -> UInt8Array:
    """A few ellipses: long runs, some across columns and words."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), bool)
    for _ in range(4):
        centre_y, centre_x = rng.random(2) * (height, width)
        radius_y, radius_x = (0.05 + 0.4 * rng.random(2)) * (height, width)
        mask |= ((y - centre_y) / radius_y) ** 2 + ((x - centre_x) / radius_x) ** 2 < 1
    return mask.astype(np.uint8)


@pytest.mark.parametrize(
    "size_hw", [(0, 0), (0, 5), (5, 0), (1, 1), (1, 9), (9, 1), (3, 200), (200, 3)]
)
@pytest.mark.parametrize("value", [0, 1])
def test_plain_masks_encode_as_pycocotools(size_hw: tuple[int, int], value: int) -> None:
    mask = np.full(size_hw, value, np.uint8)
    counts = ops.encode_rle(mask)
    assert counts == coco_counts(mask)
    np.testing.assert_array_equal(ops.decode_rle(counts, size_hw), mask)


@pytest.mark.parametrize("width", [1, 7, 8, 9, 63, 64, 65, 127, 128, 129])
@pytest.mark.parametrize("density", [0.02, 0.5, 0.98])
def test_encode_around_the_word_width(width: int, density: float) -> None:
    mask = np.random.default_rng(width).random((37, width)) < density
    assert ops.encode_rle(mask) == coco_counts(mask)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_encode_any_dtype_and_layout(dtype: str, layout: str) -> None:
    base = blobs(53, 91).astype(dtype) * np.array(3, dtype)
    mask = LAYOUTS[layout](base)
    assert ops.encode_rle(mask) == coco_counts(base[::-1, ::-1] if layout == "flipped" else base)


def test_every_nonzero_value_is_foreground() -> None:
    values = np.array([[0.0, -0.0, 1e-30, -5.0, np.inf, np.nan]], np.float32)
    assert ops.encode_rle(values) == coco_counts(np.array([[0, 0, 1, 1, 1, 1]]))
    assert ops.encode_rle(np.array([[0, 256, -1]], np.int32)) == coco_counts(np.array([[0, 1, 1]]))


def test_one_pixel_anywhere() -> None:
    for y, x in [(0, 0), (0, 66), (12, 0), (12, 66), (5, 63), (5, 64)]:
        mask = np.zeros((13, 67), np.uint8)
        mask[y, x] = 1
        counts = ops.encode_rle(mask)
        assert counts == coco_counts(mask)
        assert ops.rle_to_bbox(counts, mask.shape) == (x, y, 1, 1)


@given(MASKS)
def test_encode_follows_the_definition(mask: UInt8Array) -> None:
    assert ops.encode_rle(mask) == oracle.string_of_runs(oracle.runs_of_mask(mask))


@given(MASKS)
def test_decode_undoes_encode(mask: UInt8Array) -> None:
    decoded = ops.decode_rle(ops.encode_rle(mask), mask.shape)
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, mask)


@given(MASKS)
def test_area_and_bbox_are_the_masks(mask: UInt8Array) -> None:
    counts = ops.encode_rle(mask)
    size = list(mask.shape)
    assert ops.rle_area(counts) == mask.sum() == coco.area({"size": size, "counts": counts})
    bbox = ops.rle_to_bbox(counts, mask.shape)
    assert bbox == oracle.bbox_of_mask(mask)
    np.testing.assert_array_equal(bbox, coco.toBbox({"size": size, "counts": counts}))


@given(RUNS, st.integers(1, 6))
def test_runs_of_others_may_be_empty_anywhere(runs: list[int], height: int) -> None:
    runs = [run % 50 for run in runs]
    runs.append(-sum(runs) % height)
    size_hw = (height, sum(runs) // height)
    counts = oracle.string_of_runs(runs)
    mask = oracle.mask_of_runs(runs, size_hw)
    np.testing.assert_array_equal(ops.decode_rle(counts, size_hw), mask)
    assert ops.rle_area(counts) == mask.sum()
    assert ops.rle_to_bbox(counts, size_hw) == oracle.bbox_of_mask(mask)
    assert ops.merge_rle(counts, size_hw, (0, 0), size_hw) == ops.encode_rle(mask)


@given(MASKS, st.tuples(*[st.integers(0, 5)] * 4))
def test_merge_is_encoding_the_pasted_mask(
    crop: UInt8Array, margins: tuple[int, int, int, int]
) -> None:
    top, bottom, left, right = margins
    image = np.pad(crop, ((top, bottom), (left, right)))
    merged = ops.merge_rle(ops.encode_rle(crop), crop.shape, (top, left), image.shape)
    assert merged == coco_counts(image)


def test_large_masks_give_the_same_bytes_on_every_number_of_threads() -> None:
    smooth = blobs(1080, 1920)
    noise = (np.random.default_rng(0).random((1201, 1501)) < 0.3).astype(np.uint8)
    for mask in (smooth, np.asfortranarray(smooth), noise):
        counts = coco_counts(mask)
        for threads in (1, 4, 7):
            assert ops.encode_rle(mask, threads=threads) == counts
            decoded = ops.decode_rle(counts, mask.shape, threads=threads)
            np.testing.assert_array_equal(decoded, mask)


def test_callers_on_many_threads_do_not_meet() -> None:
    masks = [blobs(211, 307, seed) for seed in range(16)]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(ops.encode_rle, masks * 4))
    assert counts == [coco_counts(mask) for mask in masks] * 4


def test_counts_may_be_bytes_or_str() -> None:
    mask = blobs(40, 50)
    counts = ops.encode_rle(mask)
    text = counts.decode()
    np.testing.assert_array_equal(ops.decode_rle(text, (40, 50)), mask)
    assert ops.rle_area(text) == mask.sum()
    assert ops.rle_to_bbox(text, (40, 50)) == oracle.bbox_of_mask(mask)
    assert ops.merge_rle(text, (40, 50), (1, 2), (50, 60)) == ops.merge_rle(
        counts, (40, 50), (1, 2), (50, 60)
    )


HOSTILE = {
    "no run for a mask with pixels": b"",
    "ends within a run": b"T",
    "never ends": b"P" * 1000,
    "needs fewer characters": b"TP0",
    "needs fewer characters, negative": b"01Po1",
    "more than 7 characters": b"PPPPPPP1",
    "negative first run": b"O",
    "negative by difference": b"1221N",
    "more than 2**32 - 1": b"PPPPPP4",
    "runs beyond the mask": b"5",
    "runs short of the mask": b"3",
    "sum over 2**32": oracle.string_of_runs([2**32 - 1, 2**32 - 1, 6]),
    "sum right modulo 2**32": oracle.string_of_runs([2**31, 2**31, 4]),
    "space": b"4 ",
    "below '0'": b"/",
    "above 'o'": b"p",
    "NUL": b"4\x00",
    "high byte": b"\xff",
}


@pytest.mark.parametrize("counts", HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_strings_are_refused(counts: bytes) -> None:
    with pytest.raises(InvalidInputError, match="counts: "):
        ops.decode_rle(counts, (2, 2))
    with pytest.raises(InvalidInputError, match="counts: "):
        ops.rle_to_bbox(counts, (2, 2))
    with pytest.raises(InvalidInputError, match="counts: "):
        ops.merge_rle(counts, (2, 2), (0, 0), (4, 4))


# pycocotools' own decode is written for NumPy 1.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@given(st.one_of(st.binary(max_size=30), RUNS.map(oracle.string_of_runs)), st.integers(0, 40))
@example(b"", 0)
def test_any_bytes_decode_or_are_refused(counts: bytes, height: int) -> None:
    try:
        area = ops.rle_area(counts)
    except InvalidInputError:
        area = -1
    for size_hw in [(height, 3), (3, height)]:
        try:
            mask = ops.decode_rle(counts, size_hw)
        except InvalidInputError:
            continue
        np.testing.assert_array_equal(mask, coco.decode({"size": list(size_hw), "counts": counts}))
        assert mask.sum() == area
        assert ops.rle_to_bbox(counts, size_hw) == oracle.bbox_of_mask(mask)
        assert ops.merge_rle(counts, size_hw, (0, 0), size_hw) == ops.encode_rle(mask)


@given(RUNS)
def test_area_needs_no_size(runs: list[int]) -> None:
    assert ops.rle_area(oracle.string_of_runs(runs)) == sum(runs[1::2])


@pytest.mark.parametrize("bits", [3, 5, 9, 14, 19, 20, 24])
def test_strings_of_runs_of_mixed_lengths(bits: int) -> None:
    """So many that they are written several at a time."""
    rng = np.random.default_rng(bits)
    runs = rng.integers(1, 2 ** rng.integers(1, bits + 1, 203)).tolist()
    counts = oracle.string_of_runs(runs)
    size_hw = (1, sum(runs))
    assert ops.rle_union([counts], size_hw) == counts
    assert coco.frPyObjects({"size": size_hw, "counts": runs}, *size_hw)["counts"] == counts


def test_runs_of_32_bits() -> None:
    runs = [2**32 - 2, 1]
    counts = oracle.string_of_runs(runs)
    assert ops.rle_area(counts) == 1
    size_hw = (3, (2**32 - 1) // 3)
    assert ops.rle_to_bbox(counts, size_hw) == (size_hw[1] - 1, 2, 1, 1)


@pytest.mark.parametrize("size_hw", [(-1, -4), (4,), (2.0, 2), (1, 2**31), 4, "22", (2, 3)])
def test_sizes_that_do_not_fit_are_refused(size_hw: tuple[int, int]) -> None:
    with pytest.raises(InvalidInputError, match=r"size_hw: expected|mask of 2 x 3 pixels"):
        ops.decode_rle(b"4", size_hw)


@pytest.mark.parametrize(
    ("offset_yx", "image_hw"),
    [
        ((0, 3), (4, 4)),
        ((3, 0), (4, 4)),
        ((-1, 0), (4, 4)),
        ((0, 0), (1, 4)),
        ((0, 0), (2**31 - 1, 2**31 - 1)),
    ],
)
def test_crops_outside_the_image_are_refused(
    offset_yx: tuple[int, int], image_hw: tuple[int, int]
) -> None:
    with pytest.raises(InvalidInputError, match=r"offset_yx|image_hw"):
        ops.merge_rle(b"4", (2, 2), offset_yx, image_hw)


@pytest.mark.parametrize(
    "mask", [np.zeros(4), np.zeros((1, 2, 2)), np.zeros((2, 2), complex), np.array([["a"]])]
)
def test_what_is_no_mask_is_refused(mask: AnyArray) -> None:
    with pytest.raises(InvalidInputError, match="mask: expected"):
        ops.encode_rle(mask)


def test_masks_beyond_32_bits_are_refused() -> None:
    mask = np.broadcast_to(np.uint8(1), (2**16, 2**16))
    with pytest.raises(InvalidInputError, match="2\\^32 - 1 pixels"):
        ops.encode_rle(mask)


@pytest.mark.parametrize("threads", [0, -1, 2**31, 1.5, "2", None])
def test_bad_thread_counts_are_refused(threads: int) -> None:
    for size in (0, 3):
        with pytest.raises(InvalidInputError, match="threads"):
            ops.encode_rle(np.zeros((size, size)), threads=threads)
        with pytest.raises(InvalidInputError, match="threads"):
            ops.decode_rle(str(size * size), (size, size), threads=threads)


@pytest.mark.parametrize("counts", [[4], None, bytearray(b"4"), "ä4"])
def test_counts_of_another_kind_are_refused(counts: object) -> None:
    with pytest.raises(InvalidInputError, match="counts: expected"):
        ops.rle_area(counts)  # type: ignore[arg-type]
