# SPDX-License-Identifier: Apache-2.0
"""Sets of masks, on runs, against dense masks and pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from hpip import ops
from hpip.errors import InvalidInputError
from hpip.types import AnyArray
from tests.kernels.test_rle import blobs
from tests.reference import rle as oracle

SIZES_HW = st.tuples(st.integers(0, 9), st.integers(0, 70))


def some_masks(size_hw: tuple[int, int], count: int, seed: int) -> list[AnyArray]:
    rng = np.random.default_rng(seed)
    return [rng.random(size_hw) < rng.choice([0.0, 0.1, 0.5, 0.9, 1.0]) for _ in range(count)]


def coco_rle(mask: AnyArray) -> dict[str, object]:
    return dict(coco.encode(np.asfortranarray(mask, np.uint8)))


@given(SIZES_HW, st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_union_and_intersection(size_hw: tuple[int, int], count: int, seed: int) -> None:
    masks = some_masks(size_hw, count, seed)
    counts = [ops.encode_rle(mask) for mask in masks]
    assert ops.rle_union(counts, size_hw) == ops.encode_rle(np.any(masks, axis=0))
    assert ops.rle_intersection(counts, size_hw) == ops.encode_rle(np.all(masks, axis=0))


def test_sets_are_those_of_pycocotools() -> None:
    masks = [blobs(211, 307, seed) for seed in range(7)]
    theirs = [coco_rle(mask) for mask in masks]
    ours = [ops.encode_rle(mask) for mask in masks]
    size_hw = (211, 307)
    assert ops.rle_union(ours, size_hw) == coco.merge(theirs)["counts"]
    assert ops.rle_intersection(ours, size_hw) == coco.merge(theirs, intersect=True)["counts"]
    for crowd in ([0, 0, 0], [1, 0, 1]):
        np.testing.assert_array_equal(
            ops.rle_iou(ours, ours[:3], size_hw, is_crowd=crowd),
            coco.iou(theirs, theirs[:3], crowd),
        )


@given(SIZES_HW, st.integers(0, 2**32 - 1))
def test_iou_is_the_masks(size_hw: tuple[int, int], seed: int) -> None:
    masks = some_masks(size_hw, 3, seed)
    counts = [ops.encode_rle(mask) for mask in masks]
    for row, mask in zip(ops.rle_iou(counts, counts, size_hw), masks, strict=True):
        for value, other in zip(row, masks, strict=True):
            shared, union = (mask & other).sum(), (mask | other).sum()
            assert value == (shared / union if shared else 0)


def test_no_masks() -> None:
    assert ops.rle_iou([], [b"4"], (2, 2)).shape == (0, 1)
    with pytest.raises(InvalidInputError, match="counts: expected at least one"):
        ops.rle_union([], (2, 2))


@given(st.lists(st.integers(0, 9), max_size=12), st.lists(st.integers(0, 9), max_size=12))
def test_empty_runs_of_others(one: list[int], other: list[int]) -> None:
    length = max(sum(one), sum(other), 1)
    lists = [[*runs, length - sum(runs)] for runs in (one, other)]
    counts = [oracle.string_of_runs(runs) for runs in lists]
    masks = [oracle.mask_of_runs(runs, (length, 1)) for runs in lists]
    assert ops.rle_union(counts, (length, 1)) == ops.encode_rle(masks[0] | masks[1])
    assert ops.rle_intersection(counts, (length, 1)) == ops.encode_rle(masks[0] & masks[1])
    assert ops.rle_union(counts[:1], (length, 1)) == ops.encode_rle(masks[0])


@given(SIZES_HW, st.integers(0, 2**32 - 1), st.tuples(*[st.floats(0, 1)] * 4))
def test_crop_is_encoding_the_dense_crop(
    size_hw: tuple[int, int], seed: int, edges: tuple[float, float, float, float]
) -> None:
    (mask,) = some_masks(size_hw, 1, seed)
    y0, y1 = sorted(round(edge * size_hw[0]) for edge in edges[:2])
    x0, x1 = sorted(round(edge * size_hw[1]) for edge in edges[2:])
    cropped = ops.crop_rle(ops.encode_rle(mask), size_hw, (y0, x0), (y1 - y0, x1 - x0))
    assert cropped == ops.encode_rle(mask[y0:y1, x0:x1])


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="offset_yx: expected"):
        ops.crop_rle(b"4", (2, 2), (1, 1), (1, 2))
    for wrong in ([b"4", b"5"], [b"4", b"P"]):
        for run in (ops.rle_union, ops.rle_intersection):
            with pytest.raises(InvalidInputError, match="counts: "):
                run(wrong, (2, 2))
        with pytest.raises(InvalidInputError, match="counts: "):
            ops.rle_iou(wrong, [b"4"], (2, 2))
    with pytest.raises(InvalidInputError, match="expected a sequence"):
        ops.rle_union(b"4", (2, 2))  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="is_crowd: expected 1"):
        ops.rle_iou([b"4"], [b"4"], (2, 2), is_crowd=[0, 1])
