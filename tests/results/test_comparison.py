# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpip import ops
from hpip.results.comparison import Tolerance, compare
from hpip.types import AnyArray, RleMask, UInt8Array

THRESHOLD = 0.5
CANVAS_HW = (24, 20)


@dataclass(frozen=True)
class Found:
    boxes_xyxy: AnyArray
    scores: AnyArray
    class_ids: AnyArray
    rle: Sequence[RleMask | None]

    def take(self, order: Sequence[int]) -> Found:
        rows = np.array(order, dtype=np.int64)
        return Found(
            self.boxes_xyxy[rows],
            self.scores[rows],
            self.class_ids[rows],
            [self.rle[i] for i in order],
        )


def rle_of(crop: UInt8Array, offset_yx: tuple[int, int] = (0, 0)) -> RleMask:
    height, width = crop.shape
    return RleMask(ops.encode_rle(crop), (height, width), offset_yx)


def full_mask(box: Sequence[float]) -> RleMask:
    x0, y0, x1, y1 = (round(v) for v in box)
    return rle_of(np.ones((y1 - y0, x1 - x0), np.uint8), (y0, x0))


def found(*rows: tuple[Sequence[float], float, int]) -> Found:
    return Found(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([class_id for _, _, class_id in rows], np.int64),
        [full_mask(box) for box, _, _ in rows],
    )


THREE = found(
    ((10, 10, 60, 50), 0.9, 0),
    ((70, 5, 200, 90), 0.7, 1),
    ((300, 200, 420, 330), 0.55, 0),
)


def test_a_result_is_the_same_as_itself_in_any_order() -> None:
    comparison = compare(THREE, THREE.take([2, 0, 1]), THRESHOLD)
    assert comparison.same
    assert comparison.violations() == []
    assert comparison.matched == comparison.masks_compared == 3
    assert (comparison.max_score_diff, comparison.max_box_diff_px) == (0, 0)
    assert (comparison.min_mask_iou, comparison.mean_mask_iou) == (1, 1)


def test_two_empty_results_are_the_same() -> None:
    comparison = compare(found(), found(), THRESHOLD)
    assert comparison.same
    assert comparison.matched == 0
    assert (comparison.min_mask_iou, comparison.mean_mask_iou) == (1, 1)


@pytest.mark.parametrize(
    ("reference", "candidate", "missing", "extra"),
    [
        (THREE, THREE.take([0, 2]), (1,), ()),
        (THREE.take([0, 2]), THREE, (), (1,)),
        (THREE, found(), (0, 1, 2), ()),
        (found(), THREE, (), (0, 1, 2)),
    ],
)
def test_instances_of_one_side_only_are_named(
    reference: Found, candidate: Found, missing: tuple[int, ...], extra: tuple[int, ...]
) -> None:
    comparison = compare(reference, candidate, THRESHOLD)
    assert (comparison.missing, comparison.extra) == (missing, extra)
    assert not comparison.same


@pytest.mark.parametrize(("score", "forgiven"), [(0.505, True), (0.515, False)])
def test_an_instance_just_above_the_threshold_may_be_missing(score: float, forgiven: bool) -> None:
    reference = found(((10, 10, 60, 50), score, 0))
    assert compare(reference, found(), THRESHOLD).same is forgiven
    assert compare(found(), reference, THRESHOLD).same is forgiven


def test_another_class_is_another_instance() -> None:
    other_class = replace(THREE, class_ids=THREE.class_ids + 1)
    comparison = compare(THREE, other_class, THRESHOLD)
    assert comparison.matched == 0
    assert (comparison.missing, comparison.extra) == ((0, 1, 2), (0, 1, 2))


@pytest.mark.parametrize(
    ("field", "change", "words"),
    [
        ("scores", 6e-4, "score"),
        ("scores", np.nan, "score"),
        ("boxes_xyxy", 0.3, "box"),
    ],
)
def test_a_difference_beyond_the_tolerance_is_told(field: str, change: float, words: str) -> None:
    values = getattr(THREE, field).copy()
    values[1] += change
    comparison = compare(THREE, replace(THREE, **{field: values}), THRESHOLD)
    assert comparison.matched == 3
    (violation,) = comparison.violations()
    assert words in violation


def test_figures_are_the_largest_differences() -> None:
    candidate = replace(
        THREE,
        scores=THREE.scores + np.float32([0, -0.0004, 0.0002]),
        boxes_xyxy=THREE.boxes_xyxy + np.float32([[0], [0.25], [-0.125]]),
    )
    comparison = compare(THREE, candidate, THRESHOLD)
    assert comparison.same
    assert comparison.max_score_diff == pytest.approx(0.0004, rel=1e-3)
    assert comparison.max_box_diff_px == 0.25


def test_a_mask_that_differs_breaks_the_least_and_the_mean() -> None:
    height, width = THREE.rle[1].crop_hw
    crop = np.ones((height, width), np.uint8)
    crop[: height // 2] = 0
    candidate = replace(THREE, rle=[THREE.rle[0], rle_of(crop, (5, 70)), THREE.rle[2]])
    comparison = compare(THREE, candidate, THRESHOLD)
    share = (height - height // 2) / height
    assert comparison.min_mask_iou == pytest.approx(share)
    assert comparison.mean_mask_iou == pytest.approx((2 + share) / 3)
    assert len(comparison.violations()) == 2
    assert compare(
        THREE, candidate, THRESHOLD, Tolerance(mask_iou_each=0.4, mask_iou_mean=0.8)
    ).same


@pytest.mark.parametrize(("pixels", "same"), [(3, True), (4, False)])
def test_masks_that_differ_in_three_pixels_count_as_equal(pixels: int, same: bool) -> None:
    crop = np.ones((10, 10), np.uint8)
    one = found(((0, 0, 10, 10), 0.9, 0))
    other = crop.copy()
    other.flat[:pixels] = 0
    candidate = replace(one, rle=[rle_of(other)])
    comparison = compare(replace(one, rle=[rle_of(crop)]), candidate, THRESHOLD)
    assert comparison.same is same
    assert comparison.min_mask_iou == pytest.approx(1 - pixels / 100)


def test_boxes_of_whole_pixels_may_lie_a_pixel_apart() -> None:
    nudged = replace(THREE, boxes_xyxy=THREE.boxes_xyxy + np.float32(1))
    assert not compare(THREE, nudged, THRESHOLD).same
    assert compare(THREE, nudged, THRESHOLD, Tolerance().for_whole_pixels()).same
    assert Tolerance(box_px=2.0).for_whole_pixels().box_px == 2.0


def test_a_missing_mask_leaves_the_pair_in_everything_else() -> None:
    reference = replace(THREE, rle=[None, THREE.rle[1], None])
    comparison = compare(reference, THREE, THRESHOLD)
    assert comparison.same
    assert (comparison.matched, comparison.masks_compared) == (3, 1)


def test_equal_boxes_pair_up_by_score() -> None:
    # A detector without NMS gives the same box twice; the order of the two is an accident.
    twins = found(((10, 10, 60, 50), 0.9, 0), ((10, 10, 60, 50), 0.6, 0))
    nudged = replace(twins, boxes_xyxy=twins.boxes_xyxy + np.float32([[0.002], [0]]))
    for candidate in (nudged, nudged.take([1, 0])):
        comparison = compare(twins, candidate, THRESHOLD)
        assert comparison.matched == 2
        assert comparison.max_score_diff == 0


def test_each_instance_is_matched_once() -> None:
    one = found(((10, 10, 60, 50), 0.9, 0))
    comparison = compare(one, one.take([0, 0]), THRESHOLD)
    assert (comparison.matched, comparison.extra) == (1, (1,))


def test_an_empty_box_matches_its_equal() -> None:
    empty = replace(found(((0, 0, 1, 1), 0.9, 0)), boxes_xyxy=np.zeros((1, 4), np.float32))
    assert compare(empty, empty, THRESHOLD).matched == 1


@st.composite
def placed_crops(draw: st.DrawFn) -> tuple[UInt8Array, tuple[int, int]]:
    height = draw(st.integers(1, CANVAS_HW[0]))
    width = draw(st.integers(1, CANVAS_HW[1]))
    top = draw(st.integers(0, CANVAS_HW[0] - height))
    left = draw(st.integers(0, CANVAS_HW[1] - width))
    bits = draw(st.binary(min_size=height * width, max_size=height * width))
    crop = (np.frombuffer(bits, np.uint8) & 1).reshape(height, width)
    return crop, (top, left)


def on_canvas(crop: UInt8Array, offset_yx: tuple[int, int]) -> UInt8Array:
    canvas = np.zeros(CANVAS_HW, np.uint8)
    top, left = offset_yx
    canvas[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return canvas


@given(placed_crops(), placed_crops())
def test_mask_iou_is_that_of_the_whole_image(
    one: tuple[UInt8Array, tuple[int, int]], two: tuple[UInt8Array, tuple[int, int]]
) -> None:
    a, b = on_canvas(*one), on_canvas(*two)
    union = np.count_nonzero(a | b)
    expected = np.count_nonzero(a & b) / union if union else 1.0
    box = found(((0, 0, 10, 10), 0.9, 0))
    left, right = replace(box, rle=[rle_of(*one)]), replace(box, rle=[rle_of(*two)])
    assert compare(left, right, THRESHOLD).min_mask_iou == expected
    assert compare(right, left, THRESHOLD).min_mask_iou == expected
