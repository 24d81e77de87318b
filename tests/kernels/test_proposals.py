# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpip import ops
from hpip.errors import InvalidInputError
from hpip.types import Float32Array
from tests.reference import detection as oracle

FPN = {
    "pre_nms_top_n": 1000,
    "post_nms_top_n": 1000,
    "nms_threshold": 0.7,
    "min_size": 0.0,
    "eta": 1.0,
    "pixel_offset": False,
}
RULES = {
    "fpn": FPN,
    "c4": {**FPN, "pre_nms_top_n": 6000},
    "few": {**FPN, "pre_nms_top_n": 60, "post_nms_top_n": 13},
    "all": {**FPN, "pre_nms_top_n": 0, "post_nms_top_n": -1},
    "last pixel": {**FPN, "pre_nms_top_n": 200, "pixel_offset": True},
    "falling threshold": {**FPN, "pre_nms_top_n": 200, "eta": 0.9},
    "large ones only": {**FPN, "pre_nms_top_n": 200, "min_size": 40.0},
    "none large enough": {**FPN, "min_size": 1e6},
}
STRIDE = 8


def make_level(
    cells_hw: tuple[int, int], batch: int = 1, anchors: int = 3, seed: int = 0
) -> ops.ProposalLevel:
    rng = np.random.default_rng(seed)
    height, width = cells_hw
    centres = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1) * STRIDE
    sides = rng.uniform(10, 70, (anchors, 2))
    corners = centres[:, :, None], np.broadcast_to(sides / 2, (height, width, anchors, 2))
    boxes = np.concatenate([corners[0] - corners[1], corners[0] + corners[1]], axis=-1)
    # All different, so that the order is the same for every way of sorting.
    scores = rng.permutation(batch * anchors * height * width) + 1.0
    deltas = rng.normal(0, 0.4, (batch, 4 * anchors, height, width))
    deltas[:, ::7] *= 20  # beyond the largest growth
    return ops.ProposalLevel(
        (scores / scores.size).reshape(batch, anchors, height, width).astype(np.float32),
        deltas.astype(np.float32),
        boxes.astype(np.float32),
    )


def image_hw_of(level: ops.ProposalLevel) -> list[tuple[float, float]]:
    height, width = level.scores.shape[2:]
    return [(height * STRIDE - image, width * STRIDE - 2.0) for image in range(len(level.scores))]


@pytest.fixture(scope="module")
def paddle() -> Any:
    module = pytest.importorskip("paddle", reason="proposals are compared with Paddle's operator")
    module.set_device("cpu")
    return module


def assert_is_paddles(
    paddle: Any,
    level: ops.ProposalLevel,
    image_hw: list[tuple[float, float]],
    rules: dict[str, Any],
) -> None:
    scores, deltas, anchors, variances = level
    if variances is None:
        variances = np.ones_like(anchors)
    arrays = (scores, deltas, np.array(image_hw, np.float32), anchors, variances)
    expected = paddle._C_ops.generate_proposals(*map(paddle.to_tensor, arrays), *rules.values())
    (found,) = ops.generate_proposals([level], image_hw, **rules)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs.numpy())
        assert mine.dtype == theirs.numpy().dtype


@pytest.mark.parametrize("rules", RULES.values(), ids=list(RULES))
def test_follows_the_oracle(rules: dict[str, Any]) -> None:
    level = make_level((9, 14), batch=2)
    image_hw = image_hw_of(level)
    (found,) = ops.generate_proposals([level], image_hw, **rules)
    end = 0
    for image in range(2):
        boxes, scores = oracle.proposals(
            level.scores[image], level.bbox_deltas[image], level.anchors, image_hw[image], **rules
        )
        begin, end = end, end + int(found.counts[image])
        np.testing.assert_allclose(found.boxes_xyxy[begin:end], boxes, rtol=0, atol=1e-4)
        np.testing.assert_array_equal(found.scores[begin:end], scores)
    assert end == len(found.scores)


@pytest.mark.parametrize("rules", RULES.values(), ids=list(RULES))
@pytest.mark.parametrize("cells_hw", [(40, 60), (9, 14), (1, 1)])
def test_is_paddles(paddle: Any, cells_hw: tuple[int, int], rules: dict[str, Any]) -> None:
    level = make_level(cells_hw, batch=2, seed=1)
    assert_is_paddles(paddle, level, image_hw_of(level), rules)
    variances = np.random.default_rng(2).uniform(0.1, 1, level.anchors.shape).astype(np.float32)
    assert_is_paddles(paddle, level._replace(variances=variances), image_hw_of(level), rules)


# Paddle's order of equal scores is that of an unstable sort; whole pictures have equal scores.
@pytest.mark.parametrize("distinct", [1, 2, 7, 100, 5000])
@pytest.mark.parametrize("shape", ["noise", "ramp", "falling ramp", "hill", "saw"])
def test_equal_scores_come_in_paddles_order(paddle: Any, shape: str, distinct: int) -> None:
    level = make_level((45, 70), seed=3)
    count = level.scores.size
    position = np.arange(count) / count
    values = {
        "noise": np.random.default_rng(distinct).random(count),
        "ramp": position,
        "falling ramp": 1 - position,
        "hill": 1 - abs(position - 0.5),
        "saw": position * 50 % 1,
    }[shape]
    scores = ((values * distinct).round() / distinct).astype(np.float32)
    tied = level._replace(scores=scores.reshape(level.scores.shape))
    for pre_nms_top_n in (1, 300, 6000, count - 1, 0):
        rules = {**FPN, "pre_nms_top_n": pre_nms_top_n, "post_nms_top_n": 200}
        assert_is_paddles(paddle, tied, image_hw_of(tied), rules)


def test_levels_and_threads() -> None:
    levels = [make_level(cells, batch=3, seed=i) for i, cells in enumerate([(30, 40), (9, 7)])]
    image_hw = image_hw_of(levels[0])
    alone = [ops.generate_proposals([level], image_hw, **FPN)[0] for level in levels]
    for threads in (1, 2, 4, 7):
        together = ops.generate_proposals(levels, image_hw, threads=threads, **FPN)
        for one, other in zip(alone, together, strict=True):
            for a, b in zip(one, other, strict=True):
                np.testing.assert_array_equal(a, b)


def exported_collection(
    paddle: Any, levels: list[ops.Proposals], top_n: int
) -> tuple[Float32Array, Float32Array]:
    """Operator by operator what exported networks do with the levels of one image."""
    boxes = paddle.concat([paddle.to_tensor(level.boxes_xyxy) for level in levels])
    scores = paddle.concat([paddle.to_tensor(level.scores) for level in levels]).flatten()
    if scores.shape[0] > top_n:
        scores, index = paddle.topk(scores, top_n)
        boxes = paddle.gather(boxes, index)
    return boxes.numpy(), scores.numpy()


@pytest.mark.parametrize("top_n", [1, 7, 300, 1000, 5000])
@pytest.mark.parametrize("distinct", [20, 10**9])
def test_collects_as_exported_networks_do(paddle: Any, distinct: int, top_n: int) -> None:
    rng = np.random.default_rng(top_n)
    counts = np.array([[400, 0, 90], [200, 1, 900]], np.int32)
    levels = []
    for row in counts:
        scores = (rng.random((row.sum(), 1)) * distinct).round() / distinct
        boxes = rng.random((row.sum(), 4), np.float32)
        levels.append(ops.Proposals(boxes, scores.astype(np.float32), row))
    found = ops.collect_fpn_proposals(levels, top_n)
    ends = np.cumsum(counts, axis=1)
    end = 0
    for image in range(3):
        parts = [slice(e[image] - c[image], e[image]) for e, c in zip(ends, counts, strict=True)]
        own = [
            ops.Proposals(level.boxes_xyxy[part], level.scores[part], level.counts)
            for level, part in zip(levels, parts, strict=True)
        ]
        boxes, scores = exported_collection(paddle, own, top_n)
        begin, end = end, end + int(found.counts[image])
        np.testing.assert_array_equal(found.boxes_xyxy[begin:end], boxes)
        np.testing.assert_array_equal(found.scores[begin:end, 0], scores)
    assert end == len(found.scores)


def test_empty_batches() -> None:
    level = make_level((4, 5))
    empty = level._replace(scores=level.scores[:0], bbox_deltas=level.bbox_deltas[:0])
    (found,) = ops.generate_proposals([empty], np.zeros((0, 2)), threads=2)
    assert found.boxes_xyxy.shape == (0, 4)
    assert found.scores.shape == (0, 1)
    assert found.counts.shape == (0,)
    joined = ops.collect_fpn_proposals([found, found], 10)
    assert joined.boxes_xyxy.shape == (0, 4)
    assert ops.generate_proposals([], [[10, 10]]) == []


def test_bad_arguments_are_refused() -> None:
    level = make_level((4, 5), batch=2)
    image_hw = image_hw_of(level)

    def refused(match: str, changed: dict[str, Any], hw: Any = image_hw, **options: Any) -> None:
        with pytest.raises(InvalidInputError, match=match):
            ops.generate_proposals([level._replace(**changed)], hw, **options)

    refused("scores: expected", {"scores": level.scores[0]})
    refused("scores: expected", {"scores": level.scores[:1]})
    refused("scores: expected float32", {"scores": level.scores.astype(np.float16)})
    refused("scores: expected at least one anchor", {"scores": level.scores[:, :, :0]})
    refused("bbox_deltas: expected", {"bbox_deltas": level.bbox_deltas[:, :9]})
    refused("bbox_deltas: expected", {"bbox_deltas": level.bbox_deltas[:, :, :3]})
    refused("anchors: expected", {"anchors": level.anchors[:3]})
    refused("anchors: expected", {"anchors": level.anchors[..., :3]})
    refused("variances: expected", {"variances": level.anchors[:3]})
    for bad in ([[10, 10]], [10, 10], [[10, 0], [10, 10]], [[10, np.nan], [10, 10]]):
        refused("image_hw|scores: expected", {}, bad)
    scores = level.scores.copy()
    scores[1, 2, 3, 4] = np.nan
    refused("scores: expected numbers, received NaN for anchor 2 of cell 19", {"scores": scores})
    for name in ("bbox_deltas", "anchors"):
        array = np.full_like(getattr(level, name), np.nan)
        refused("bbox_deltas: expected numbers", {name: array})
    for threshold in (0, -1, np.nan, np.inf):
        refused("nms_threshold: expected", {}, nms_threshold=threshold)
    for eta in (0, np.nan):
        refused("eta: expected", {}, eta=eta)
    refused("min_size: expected", {}, min_size=np.nan)
    refused("pre_nms_top_n: expected", {}, pre_nms_top_n=1.5)
    refused("post_nms_top_n: expected", {}, post_nms_top_n=2**40)
    refused("threads: expected", {}, threads=0)


def test_bad_collections_are_refused() -> None:
    (level,) = ops.generate_proposals([make_level((4, 5))], [[32, 40]])
    with pytest.raises(InvalidInputError, match="levels: expected at least one"):
        ops.collect_fpn_proposals([], 10)
    with pytest.raises(InvalidInputError, match="top_n: expected"):
        ops.collect_fpn_proposals([level], 0)
    for changed in (
        {"counts": level.counts + 1},
        {"counts": np.array([-1, len(level.scores) + 1])},
        {"scores": level.scores[:, 0]},
        {"scores": level.scores[1:]},
        {"boxes_xyxy": level.boxes_xyxy[:, :3]},
        {"scores": level.scores * np.float32(np.nan)},
    ):
        with pytest.raises(InvalidInputError, match=r"levels|counts|scores"):
            ops.collect_fpn_proposals([level._replace(**changed)], 10)
    two = ops.Proposals(level.boxes_xyxy, level.scores, np.append(level.counts, 0))
    with pytest.raises(InvalidInputError, match="same number of images"):
        ops.collect_fpn_proposals([level, two], 10)
