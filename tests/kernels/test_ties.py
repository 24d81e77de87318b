# SPDX-License-Identifier: Apache-2.0
"""Equal scores on maps of the size of real ones: the choice and the order are Paddle's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpip import ops
from hpip.types import Float32Array
from tests.kernels.test_nms import PPYOLOE, RCNN, some_boxes
from tests.kernels.test_proposals import (
    FPN,
    assert_is_paddles,
    exported_collection,
    image_hw_of,
    make_level,
)

# The map of stride 4 of a network input of 800 x 1344, and smaller ones of the same pyramid.
MAPS_HW = [(200, 336), (100, 168), (50, 84)]


@pytest.fixture(scope="module")
def paddle() -> Any:
    module = pytest.importorskip("paddle", reason="ties are compared with Paddle's operators")
    module.set_device("cpu")
    return module


def in_cells(values: Float32Array, cells_hw: tuple[int, int]) -> Float32Array:
    """Scores (1, A, H, W) whose values are in the order in which Paddle sorts: cell by cell."""
    height, width = cells_hw
    cells = values.astype(np.float32).reshape(1, height, width, -1)
    return np.ascontiguousarray(cells.transpose(0, 3, 1, 2))


def boundary_run(values: Float32Array, top_n: int) -> Float32Array:
    """The same scores, but 200 around the boundary of the best `top_n` are equal."""
    order = np.argsort(-values)
    run = order[top_n - 100 : top_n + 100]
    tied = values.copy()
    tied[run] = values[order[top_n]]
    return tied


def tied_scores(kind: str, count: int) -> Float32Array:
    rng = np.random.default_rng(count)
    noise, position = rng.normal(-4, 2, count), np.arange(count) / count
    if kind == "run at the boundary":
        return boundary_run(noise, FPN["pre_nms_top_n"])
    values = {
        "rounded": (noise * 64).round() / 64,
        # Each value twice. The C++ library partitions so few items off such a sequence at a time
        # that it changes to a heap, which leaves equal scores in another order.
        "rising and falling": 1 - abs(position - 0.5),
        "rising and falling, rounded": ((1 - abs(position - 0.5)) * 1000).round() / 1000,
        "a quarter each": position * 4 % 1,
    }
    return np.asarray(values[kind], np.float32)


KINDS = [
    "rounded",
    "run at the boundary",
    "rising and falling",
    "rising and falling, rounded",
    "a quarter each",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cells_hw", MAPS_HW)
def test_proposals(paddle: Any, cells_hw: tuple[int, int], kind: str) -> None:
    level = make_level(cells_hw, seed=3)
    scores = in_cells(tied_scores(kind, level.scores.size), cells_hw)
    tied = level._replace(scores=scores)
    # 300 as well: the depth at which the library changes to a heap does not depend on it.
    for pre_nms_top_n in (300, FPN["pre_nms_top_n"], 2000):
        rules = {**FPN, "pre_nms_top_n": pre_nms_top_n}
        assert_is_paddles(paddle, tied, image_hw_of(tied), rules)


def test_collected_proposals_of_a_pyramid(paddle: Any) -> None:
    levels = []
    for seed, cells_hw in enumerate([*MAPS_HW, (25, 42), (13, 21)]):
        level = make_level(cells_hw, seed=seed)
        scores = in_cells(tied_scores("rounded", level.scores.size), cells_hw)
        image_hw = image_hw_of(level)
        levels += ops.generate_proposals([level._replace(scores=scores)], image_hw, **FPN)
    every = np.concatenate([level.scores for level in levels])
    assert len(np.unique(every)) < len(every) / 4
    for top_n in (1000, 300, 30):
        found = ops.collect_fpn_proposals(levels, top_n)
        boxes, scores = exported_collection(paddle, levels, top_n)
        np.testing.assert_array_equal(found.boxes_xyxy, boxes)
        np.testing.assert_array_equal(found.scores[:, 0], scores)


@pytest.mark.parametrize(
    ("rules", "shape"),
    [
        ({**RCNN, "background_label": 80}, (1000, 80)),
        ({**RCNN, "background_label": 80, "nms_top_k": 50}, (1000, 80)),
        (PPYOLOE, (1, 80, 8400)),
        ({**PPYOLOE, "nms_top_k": 1000, "keep_top_k": 300}, (1, 80, 8400)),
    ],
    ids=["RCNN", "RCNN with a limit before", "PP-YOLOE", "PP-YOLOE with official limits"],
)
def test_detections(paddle: Any, rules: dict[str, Any], shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    per_class = len(shape) == 2
    boxes = some_boxes(rng, *shape) if per_class else some_boxes(rng, shape[0], shape[2])
    # One in a hundred scores passes, and there are 64 different ones.
    scores = (rng.random(shape) ** 40 * 64).round().astype(np.float32) / 64
    counts = np.array([600, 400], np.int32) if per_class else None
    expected = paddle._C_ops.multiclass_nms3(
        paddle.to_tensor(boxes),
        paddle.to_tensor(scores),
        None if counts is None else paddle.to_tensor(counts),
        *rules.values(),
    )
    found = ops.multiclass_nms(boxes, scores, counts, **rules)
    assert found.counts.max() == rules["keep_top_k"]
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs.numpy())
