# SPDX-License-Identifier: Apache-2.0
"""Mask post-processing of truncated graphs, compared with the slow oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpip import ops
from hpip.errors import BackendError
from hpip.inference.execution.mask_postprocess import split_by_image
from hpip.types import MaskSource
from tests.graph.mask_oracle import finish

SOURCES = {
    "image": MaskSource("image", "image", threshold=0.0, inclusive=False),
    "region": MaskSource("region", "network", threshold=0.5, inclusive=True, clips_boxes=True),
    "prototypes": MaskSource(
        "image",
        "network",
        threshold=0.5,
        inclusive=False,
        activation="sigmoid",
        has_prototypes=True,
        upsample_hw=(64, 64),
        crops_to_box=True,
        canvas="unpadded",
    ),
    "whole": MaskSource(
        "image",
        "none",
        threshold=0.5,
        inclusive=False,
        upsample_hw=(64, 64),
        crops_to_image=True,
        canvas="row_scaled",
    ),
}
# Larger than any image here: masks are clipped only where the exported model clips them.
WHOLE = (999, 999)
SIZES = [((48, 40), (64, 64)), ((33, 97), (22, 64)), ((64, 64), (64, 64)), ((1, 3), (21, 64))]


def fake_outputs(source: MaskSource, image_hw: tuple[int, int], count: int) -> dict[str, Any]:
    rng = np.random.default_rng(count)
    frame = image_hw if source.boxes_frame == "image" else (64, 64)
    corners = rng.uniform(-0.1, 0.8, (count, 2)) * frame[::-1]
    sides = rng.uniform(0.05, 0.6, (count, 2)) * frame[::-1]
    rows = np.concatenate(
        [rng.integers(0, 5, (count, 1)), rng.random((count, 1)), corners, corners + sides], 1
    ).astype(np.float32)
    if source.boxes_frame == "none":
        return {
            "class_ids": rows[:, 0].astype(np.int64),
            "scores": rows[:, 1],
            "masks": rng.random((count, 16, 16), np.float32),
        }
    outputs = {"boxes": rows, "counts": np.array([count], np.int32)}
    if source.has_prototypes:
        outputs["coefficients"] = rng.standard_normal((count, 4), np.float32)
        outputs["prototypes"] = rng.standard_normal((1, 4, 16, 16), np.float32)
    elif source.convention == "region":
        outputs["masks"] = rng.random((count, 7, 7), np.float32)
    else:
        outputs["masks"] = rng.standard_normal((1, count, 16, 16), np.float32)
    return outputs


@pytest.mark.parametrize("count", [0, 1, 6])
@pytest.mark.parametrize(("image_hw", "resized_hw"), SIZES)
@pytest.mark.parametrize("name", SOURCES)
def test_crops_agree_with_the_oracle(
    name: str, image_hw: tuple[int, int], resized_hw: tuple[int, int], count: int
) -> None:
    source = SOURCES[name]
    if source.canvas == "unpadded":
        resized_hw = (64, 64)
    im_shape = np.array([resized_hw], np.float32)
    scale = (np.array([resized_hw]) / np.array([image_hw])).astype(np.float32)
    outputs = fake_outputs(source, image_hw, count)
    rows, dense = finish(source, outputs, im_shape[0], scale[0])
    (picture,) = split_by_image(source, outputs, im_shape, scale)
    np.testing.assert_array_equal(picture.class_ids, rows[:, 0])
    np.testing.assert_array_equal(picture.scores, rows[:, 1])
    kept = np.flatnonzero(picture.class_ids >= 0)
    boxes, masks = picture.encode(kept, WHOLE)
    assert boxes.shape == (len(kept), 4)
    for index, box, mask in zip(kept, boxes, masks, strict=True):
        crop = ops.decode_rle(mask.counts, mask.crop_hw)
        (y0, x0), (height, width) = mask.offset_yx, mask.crop_hw
        wanted = dense[index, y0 : y0 + height, x0 : x0 + width]
        assert wanted.shape == crop.shape
        # Float rounding may decide a pixel at the threshold.
        assert (wanted != crop).mean() <= 0.002
        if source.boxes_frame == "none":
            assert dense[index].sum() == wanted.sum()
        elif source.boxes_frame == "image":
            limit = np.tile(image_hw[::-1], 2)
            np.testing.assert_allclose(box, rows[index, 2:].clip(0, limit), rtol=1e-6)


def test_a_batch_is_shared_out() -> None:
    source = SOURCES["prototypes"]
    one, two = fake_outputs(source, (48, 40), 2), fake_outputs(source, (33, 97), 3)
    both = {name: np.concatenate([one[name], two[name]]) for name in one}
    im_shape = np.full((2, 2), 64, np.float32)
    scale = (64 / np.array([[48, 40], [33, 97]])).astype(np.float32)
    for index, (picture, alone) in enumerate(
        zip(split_by_image(source, both, im_shape, scale), (one, two), strict=True)
    ):
        feeds = im_shape[[index]], scale[[index]]
        (single,) = split_by_image(source, alone, *feeds)
        kept = np.arange(len(picture.scores))
        assert picture.encode(kept, WHOLE)[1] == single.encode(kept, WHOLE)[1]


def test_no_kept_instance_costs_no_mask() -> None:
    source = SOURCES["region"]
    outputs = {
        "boxes": np.zeros((0, 6), np.float32),
        "counts": np.zeros(1, np.int32),
        # What the export's `if` on an empty result yields.
        "masks": np.full((1, 1, 1), -1, np.float32),
    }
    feeds = np.full((1, 2), 64, np.float32), np.ones((1, 2), np.float32)
    (picture,) = split_by_image(source, outputs, *feeds)
    boxes, masks = picture.encode(np.arange(0), WHOLE)
    assert (len(boxes), masks) == (0, [])


def test_counts_that_do_not_fit_are_noticed() -> None:
    source = SOURCES["region"]
    outputs = fake_outputs(source, (48, 40), 3)
    outputs["counts"] = np.array([5], np.int32)
    with pytest.raises(BackendError, match="5"):
        split_by_image(source, outputs, np.full((1, 2), 64.0), np.ones((1, 2)))


@pytest.mark.parametrize("name", SOURCES)
def test_every_thread_count_gives_the_same(name: str) -> None:
    source = SOURCES[name]
    outputs = fake_outputs(source, (48, 40), 5)
    feeds = np.full((1, 2), 64, np.float32), (64 / np.array([[48, 40]])).astype(np.float32)
    (picture,) = split_by_image(source, outputs, *feeds)
    kept = np.flatnonzero(picture.class_ids >= 0)
    assert picture.encode(kept, WHOLE, threads=1)[1] == picture.encode(kept, WHOLE, threads=3)[1]


def test_nothing_outside_the_image_comes_out() -> None:
    source = SOURCES["whole"]
    outputs = fake_outputs(source, (48, 40), 4)
    im_shape, scale = np.full((1, 2), 64, np.float32), np.array([[1.0, 2.0]], np.float32)
    (picture,) = split_by_image(source, outputs, im_shape, scale)
    assert picture.geometry.canvas_hw == (64, 64)
    boxes, masks = picture.encode(np.arange(4), (64, 32))
    assert boxes[:, 2].max() <= 32
    for mask in masks:
        assert mask.offset_yx[1] + mask.crop_hw[1] <= 32
