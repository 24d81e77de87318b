# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpip import ops
from hpip.errors import InvalidInputError
from hpip.types import Float32Array
from tests.reference import detection as oracle

RULES: dict[str, Any] = {"min_level": 2, "max_level": 5, "refer_level": 4, "refer_scale": 224}


def some_boxes(count: int, seed: int = 0) -> Float32Array:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 500, (count, 2))
    side = np.exp2(rng.uniform(-2, 11, (count, 1)))
    shape = np.exp(rng.uniform(-1, 1, (count, 1)))
    sides = side * np.concatenate([shape, 1 / shape], axis=1)
    return np.concatenate([corner, corner + sides], axis=1).astype(np.float32)


@pytest.mark.parametrize("pixel_offset", [False, True])
def test_follows_the_oracle(pixel_offset: bool) -> None:
    boxes = some_boxes(200)
    boxes[5, 2:] = boxes[5, :2] - 3  # inverted: no area
    boxes[6, 2] = boxes[6, 0]
    found = ops.assign_fpn_levels(boxes, [80, 0, 120], pixel_offset=pixel_offset, **RULES)
    extra = 1.0 if pixel_offset else 0.0
    levels = np.array([oracle.level(box, extra=extra, **RULES) for box in boxes])
    assert set(levels) == {2, 3, 4, 5}
    image = np.repeat([0, 2], [80, 120])
    for slot, level in enumerate(range(2, 6)):
        rows = np.flatnonzero(levels == level)
        np.testing.assert_array_equal(found.rows[slot], rows)
        np.testing.assert_array_equal(found.boxes_xyxy[slot], boxes[rows])
        counts = np.bincount(image[rows], minlength=3)
        np.testing.assert_array_equal(found.counts[slot], counts)
    joined = np.concatenate(found.boxes_xyxy)
    np.testing.assert_array_equal(joined[found.restore_index[:, 0]], boxes)


@pytest.mark.parametrize("pixel_offset", [False, True])
@pytest.mark.parametrize("counts", [[300], [100, 0, 200]])
def test_is_paddles(counts: list[int], pixel_offset: bool) -> None:
    paddle = pytest.importorskip("paddle", reason="levels are compared with Paddle's operator")
    paddle.set_device("cpu")
    boxes = some_boxes(300, seed=1)
    # Sides at which a level begins, and the next ones that float32 can tell from them.
    borders = np.float32(224) * np.exp2(np.arange(-3, 4, dtype=np.float32))
    near = np.concatenate([borders, np.nextafter(borders, 0), np.nextafter(borders, 5000)])
    boxes[: len(near)] = np.stack([near * 0, near * 0, near, near], axis=1)
    expected = paddle.vision.ops.distribute_fpn_proposals(
        paddle.to_tensor(boxes),
        *RULES.values(),
        pixel_offset,
        paddle.to_tensor(np.array(counts, np.int32)),
    )
    found = ops.assign_fpn_levels(boxes, counts, pixel_offset=pixel_offset, **RULES)
    for slot in range(4):
        np.testing.assert_array_equal(found.boxes_xyxy[slot], expected[0][slot].numpy())
        np.testing.assert_array_equal(found.counts[slot], expected[2][slot].numpy())
    np.testing.assert_array_equal(found.restore_index, expected[1].numpy())
    assert found.restore_index.dtype == np.int32


def test_no_boxes() -> None:
    found = ops.assign_fpn_levels(np.zeros((0, 4)), [0, 0])
    assert [boxes.shape for boxes in found.boxes_xyxy] == [(0, 4)] * 4
    assert [counts.tolist() for counts in found.counts] == [[0, 0]] * 4
    assert found.restore_index.shape == (0, 1)


def test_bad_arguments_are_refused() -> None:
    boxes = some_boxes(3)
    for wrong in (boxes[0], boxes[:, :3]):
        with pytest.raises(InvalidInputError, match="boxes_xyxy: expected"):
            ops.assign_fpn_levels(wrong, [3])
    for value in (np.nan, np.inf, 1e30):
        wrong = boxes.copy()
        wrong[1, 2] = wrong[1, 3] = value
        with pytest.raises(InvalidInputError, match="boxes_xyxy: expected finite areas"):
            ops.assign_fpn_levels(wrong, [3])
    for counts in ([2], [4], [-1, 4], [[3]], [1.5, 1.5]):
        with pytest.raises(InvalidInputError, match="counts"):
            ops.assign_fpn_levels(boxes, counts)
    for rules in (
        {"min_level": 6},
        {"min_level": -1},
        {"max_level": 64},
        {"refer_level": 100},
        {"refer_scale": 0},
        {"min_level": 2.0},
    ):
        with pytest.raises(InvalidInputError, match=next(iter(rules))):
            ops.assign_fpn_levels(boxes, [3], **rules)  # type: ignore[arg-type]
