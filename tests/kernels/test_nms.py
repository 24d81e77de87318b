# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpip import ops
from hpip.errors import InvalidInputError
from hpip.types import Float32Array
from tests.reference import detection as oracle

# As the networks of the zoo use it.
RCNN = {
    "score_threshold": 0.05,
    "nms_top_k": -1,
    "keep_top_k": 100,
    "nms_threshold": 0.5,
    "normalized": True,
    "nms_eta": 1.0,
    "background_label": 10,
}
PPYOLOE = {
    "score_threshold": 0.01,
    "nms_top_k": 40,
    "keep_top_k": 60,
    "nms_threshold": 0.7,
    "normalized": True,
    "nms_eta": 1.0,
    "background_label": -1,
}
RULES = {
    "rcnn": RCNN,
    "ppyoloe": PPYOLOE,
    "everything": {**RCNN, "keep_top_k": -1, "background_label": -1},
    "nothing before": {**RCNN, "nms_top_k": 0},
    "nothing after": {**RCNN, "keep_top_k": 0},
    "last pixel": {**PPYOLOE, "normalized": False},
    "falling threshold": {**RCNN, "nms_threshold": 0.9, "nms_eta": 0.95, "keep_top_k": -1},
    "threshold 0": {**RCNN, "nms_threshold": 0.0},
    "threshold 1": {**RCNN, "nms_threshold": 1.0},
    "first class left out": {**RCNN, "background_label": 0},
    "above every score": {**RCNN, "score_threshold": 2.0},
    "below every score": {**RCNN, "score_threshold": -1.0},
}
CLASSES = 11


def some_boxes(rng: np.random.Generator, *shape: int) -> Float32Array:
    """Boxes in heaps, so that many overlap; some without area, some equal, some that only touch."""
    centres = rng.uniform(0, 200, (6, 2))[rng.integers(0, 6, shape)]
    halves = rng.uniform(2, 30, (*shape, 2))
    jitter = rng.normal(0, 4, (*shape, 2))
    boxes = np.concatenate([centres - halves + jitter, centres + halves + jitter], axis=-1)
    flat = boxes.reshape(-1, 4).round(rng.integers(0, 2)).astype(np.float32)
    flat[::17, 2] = flat[::17, 0]
    flat[::23] = flat[0]
    flat[5::29, 0] = flat[4::29, 2][: len(flat[5::29])]
    flat[6::31] = [50, 50, 50, 50]
    return flat.reshape(*shape, 4)


def some_scores(rng: np.random.Generator, *shape: int) -> Float32Array:
    """Many equal ones, and zeros of either sign."""
    scores = (rng.random(shape) ** 3).round(2).astype(np.float32)
    scores.reshape(-1)[::7] *= -0.0
    return scores


@pytest.fixture(scope="module")
def paddle() -> Any:
    module = pytest.importorskip("paddle", reason="suppression is compared with Paddle's operator")
    module.set_device("cpu")
    return module


@pytest.mark.parametrize("rules", RULES.values(), ids=list(RULES))
def test_a_box_for_each_class(rules: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    counts = [30, 0, 25]
    boxes, scores = some_boxes(rng, 55, CLASSES), some_scores(rng, 55, CLASSES)
    found = ops.multiclass_nms(boxes, scores, counts, **rules)
    rows: list[list[float]] = []
    index = []
    for image, (begin, end) in enumerate(((0, 30), (30, 30), (30, 55))):
        kept = oracle.detections(boxes[begin:end], scores[begin:end], per_class=True, **rules)
        assert found.counts[image] == len(kept)
        for label, row in kept:
            rows.append([label, scores[begin + row, label], *boxes[begin + row, label]])
            index.append((begin + row) * CLASSES + label)
    np.testing.assert_array_equal(found.rows, np.array(rows, np.float32).reshape(-1, 6))
    np.testing.assert_array_equal(found.indices[:, 0], index)


@pytest.mark.parametrize("rules", RULES.values(), ids=list(RULES))
def test_boxes_shared_by_all_classes(rules: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    boxes, scores = some_boxes(rng, 2, 70), some_scores(rng, 2, CLASSES, 70)
    found = ops.multiclass_nms(boxes, scores, **rules)
    rows: list[list[float]] = []
    index = []
    for image in range(2):
        kept = oracle.detections(boxes[image], scores[image].T, per_class=False, **rules)
        assert found.counts[image] == len(kept)
        for label, row in kept:
            rows.append([label, scores[image, label, row], *boxes[image, row]])
            index.append(image * 70 + row)
    np.testing.assert_array_equal(found.rows, np.array(rows, np.float32).reshape(-1, 6))
    np.testing.assert_array_equal(found.indices[:, 0], index)


@pytest.mark.parametrize("rules", RULES.values(), ids=list(RULES))
@pytest.mark.parametrize("per_class", [False, True])
def test_is_paddles(paddle: Any, per_class: bool, rules: dict[str, Any]) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        counts = np.array([150, 0, 90], np.int32) if per_class else None
        boxes = some_boxes(rng, 240, CLASSES) if per_class else some_boxes(rng, 2, 200)
        shape = (240, CLASSES) if per_class else (2, CLASSES, 200)
        scores = some_scores(rng, *shape)
        expected = paddle._C_ops.multiclass_nms3(
            paddle.to_tensor(boxes),
            paddle.to_tensor(scores),
            None if counts is None else paddle.to_tensor(counts),
            *rules.values(),
        )
        for threads in (1, 3):
            found = ops.multiclass_nms(boxes, scores, counts, threads=threads, **rules)
            for mine, theirs in zip(found, expected, strict=True):
                np.testing.assert_array_equal(mine, theirs.numpy())
                assert mine.dtype == theirs.numpy().dtype


def test_same_answer_on_any_number_of_threads() -> None:
    rng = np.random.default_rng(4)
    boxes, scores = some_boxes(rng, 500, 40), some_scores(rng, 500, 40)
    rules = {**RCNN, "score_threshold": 0.02, "keep_top_k": -1}
    one = ops.multiclass_nms(boxes, scores, [300, 200], **rules)
    for threads in (2, 4, 7, 60):
        many = ops.multiclass_nms(boxes, scores, [300, 200], threads=threads, **rules)
        for a, b in zip(one, many, strict=True):
            np.testing.assert_array_equal(a, b)


def test_nan_scores_are_below_every_threshold() -> None:
    boxes = np.array([[[0, 0, 9, 9], [20, 20, 29, 29]]], np.float32)
    scores = np.array([[[np.nan, 0.5]]], np.float32)
    found = ops.multiclass_nms(boxes, scores, score_threshold=-np.inf)
    assert found.indices.tolist() == [[1]]


def test_only_boxes_that_take_part_must_be_finite() -> None:
    boxes = np.array([[[0, 0, 9, 9], [np.nan] * 4, [20, 20, 29, 29]]], np.float32)
    scores = np.array([[[0.9, 0.1, 0.5]]], np.float32)
    assert len(ops.multiclass_nms(boxes, scores, score_threshold=0.2).rows) == 2
    with pytest.raises(InvalidInputError, match=r"boxes_xyxy: expected finite .* box 1 of class 0"):
        ops.multiclass_nms(boxes, scores, score_threshold=0.05)


def test_no_boxes() -> None:
    for boxes, scores, counts in (
        (np.zeros((0, 3, 4)), np.zeros((0, 3)), [0, 0]),
        (np.zeros((2, 0, 4)), np.zeros((2, 3, 0)), None),
    ):
        found = ops.multiclass_nms(
            boxes.astype(np.float32), scores.astype(np.float32), counts, score_threshold=0
        )
        assert found.rows.shape == (0, 6)
        assert found.indices.shape == (0, 1)
        assert found.counts.tolist() == [0, 0]


def test_bad_arguments_are_refused() -> None:
    boxes, scores = np.zeros((2, 7, 4), np.float32), np.zeros((2, 3, 7), np.float32)
    rows, row_scores = np.zeros((7, 3, 4), np.float32), np.zeros((7, 3), np.float32)

    def refused(match: str, *arguments: Any, **options: Any) -> None:
        options = {"score_threshold": 0.1, **options}
        with pytest.raises(InvalidInputError, match=match):
            ops.multiclass_nms(*arguments, **options)

    refused("boxes_xyxy: expected", boxes[:, :6], scores)
    refused("boxes_xyxy: expected", boxes[:1], scores)
    refused("boxes_xyxy: expected", boxes[..., :3], scores)
    refused("boxes_xyxy: expected float32", boxes.astype(np.float64), scores)
    refused("scores: expected", boxes, scores[0])
    refused("scores: expected", rows, row_scores)
    refused("scores: expected at least one class", boxes, scores[:, :0])
    refused("scores: expected real", boxes, scores.astype(complex))
    refused("boxes_xyxy: expected", rows[:, :2], row_scores, [7])
    for counts in ([6], [8], [-1, 8], [[7]], [3.5, 3.5], []):
        refused("counts", rows, row_scores, counts)
    refused("score_threshold: expected", boxes, scores, score_threshold=np.nan)
    for threshold in (-0.1, np.nan):
        refused("nms_threshold: expected", boxes, scores, nms_threshold=threshold)
    for eta in (0, -1, np.nan):
        refused("nms_eta: expected", boxes, scores, nms_eta=eta)
    for name in ("nms_top_k", "keep_top_k", "background_label"):
        refused(f"{name}: expected", boxes, scores, **{name: 2.5})
        refused(f"{name}: expected", boxes, scores, **{name: 2**31})
    refused("threads: expected", boxes, scores, threads=0)
    refused("threads: expected", boxes[:0], scores[:0], threads=0)
