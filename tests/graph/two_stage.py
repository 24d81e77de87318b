# SPDX-License-Identifier: Apache-2.0
"""A little two-stage detector as the exports of the R-CNN family are built, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .heads import INPUTS, nms
from .programs import paddle_module, save_layer

Array = np.ndarray[Any, Any]

MOST_PROPOSALS = 30


def _anchors(side: int, stride: int) -> Array:
    """Two anchors for each cell of a map, (side * side * 2, 4)."""
    ys, xs = (axis.reshape(-1, 1) * stride for axis in np.mgrid[:side, :side])
    centres = np.stack([xs, ys, xs, ys], -1)
    shapes = np.array([[-9, -6, 12, 10], [-5, -8, 9, 13]])
    return (centres + shapes).reshape(-1, 4).astype(np.float32)


def two_stage(
    folder: Path,
    *,
    levels: int = 2,
    variance: float = 1.0,
    cascade: bool = False,
    between_stages: Callable[[Any], Any] | None = None,
) -> Path:
    """Proposals in a loop over the images, pooled regions, NMS, a mask head in an `if`.

    Outputs: rows of NMS, counts, mask probabilities; one image's or a batch's. With `cascade`, a
    stage before the last one moves the boxes, as exports of Cascade models do: for one image.
    `between_stages` changes its boxes.
    """
    paddle = paddle_module()
    functional = paddle.nn.functional
    vision = paddle.vision.ops

    class Net(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.features = paddle.nn.Conv2D(3, 4, 3, stride=2, padding=1)
            self.coarser = paddle.nn.Conv2D(4, 4, 3, stride=2, padding=1)
            self.objectness = paddle.nn.Conv2D(4, 2, 1)
            self.deltas = paddle.nn.Conv2D(4, 8, 1)
            self.classes = paddle.nn.Linear(4 * 9, 4)
            self.corners = paddle.nn.Linear(4 * 9, 4)
            self.masks = paddle.nn.Conv2D(4, 3, 3, padding=1)
            self.register_buffer("anchors0", paddle.to_tensor(_anchors(16, 2)))
            self.register_buffer("anchors1", paddle.to_tensor(_anchors(8, 4)))

        def forward(self, im_shape: Any, image: Any) -> Any:
            first = functional.relu(self.features(image))
            maps = [first, self.coarser(first)][:levels]
            rois, counts = self.propose(maps, im_shape)
            if cascade:
                return self.cascade(im_shape, maps, rois, counts)
            regions = self.pool(maps, rois, counts, 3)
            scores = functional.softmax(self.classes(regions.flatten(1)) * 20)[:, :-1]
            boxes = rois + self.corners(regions.flatten(1))
            boxes = paddle.minimum(boxes, self.sizes(im_shape, counts)).unsqueeze(1)
            rows, kept, _ = nms(paddle, boxes.tile([1, 3, 1]), scores, counts)
            return rows, kept, self.mask_head(maps, rows, kept)

        def cascade(self, im_shape: Any, maps: list[Any], rois: Any, counts: Any) -> Any:
            features = self.pool(maps, rois, counts, 3).flatten(1)
            moved = rois + self.corners(features)
            if between_stages is not None:
                moved = between_stages(moved)
            height, width = im_shape[0][0], im_shape[0][1]
            columns = [moved[:, i].clip(0, height if i % 2 else width) for i in range(4)]
            refined = paddle.stack(columns, 1)
            number = paddle.concat([paddle.shape(refined)[0:1]])
            regions = self.pool(maps, refined, number, 3).flatten(1)
            scores = functional.softmax(self.classes(features) + self.classes(regions) * 20)
            sizes = paddle.concat([paddle.expand(im_shape[0], [counts[0], 2])])
            limits = paddle.concat([sizes[:, 1:2], sizes[:, 0:1]] * 2, 1)
            boxes = paddle.minimum(refined + self.corners(regions), limits).unsqueeze(1)
            rows, kept, _ = nms(paddle, boxes.tile([1, 3, 1]), scores[:, :-1], counts)
            return rows, kept, self.mask_head(maps, rows, kept)

        def propose(self, maps: list[Any], im_shape: Any) -> Any:
            scores = [functional.sigmoid(self.objectness(x)) for x in maps]
            deltas = [self.deltas(x) * 0.3 for x in maps]
            # As in the exports, anchors depend on the size of the map.
            anchors = [
                anchors + (maps[level].shape[2] - side)
                for level, (anchors, side) in enumerate(
                    [(self.anchors0, 16), (self.anchors1, 8)][:levels]
                )
            ]
            found, numbers = [], []
            for i in range(im_shape.shape[0]):
                boxes_of_levels, scores_of_levels = [], []
                for level in range(len(maps)):
                    boxes, values, _ = vision.generate_proposals(
                        scores[level][i : i + 1],
                        deltas[level][i : i + 1],
                        im_shape[i : i + 1],
                        anchors[level],
                        paddle.full_like(anchors[level], variance),
                        pre_nms_top_n=60,
                        post_nms_top_n=MOST_PROPOSALS,
                        nms_thresh=0.6,
                        min_size=0.0,
                        return_rois_num=True,
                    )
                    boxes_of_levels.append(boxes)
                    scores_of_levels.append(values)
                if len(maps) > 1:
                    every = paddle.concat(boxes_of_levels)
                    flat = paddle.concat(scores_of_levels).flatten()
                    if flat.shape[0] > MOST_PROPOSALS:
                        _, best = paddle.topk(flat, MOST_PROPOSALS)
                        chosen = paddle.gather(every, best)
                    else:
                        chosen = every
                else:
                    chosen = boxes_of_levels[0]
                found.append(chosen)
                numbers.append(paddle.shape(chosen)[0:1])
            return paddle.concat(found), paddle.concat(numbers)

        def sizes(self, im_shape: Any, counts: Any) -> Any:
            repeated = []
            for i in range(im_shape.shape[0]):
                # Only a list that is appended to becomes an array of the loop.
                repeated.append(paddle.expand(im_shape[i, :], [counts[i], 2]))  # noqa: PERF401
            every = paddle.concat(repeated)
            return paddle.concat([every[:, 1:2], every[:, 0:1]] * 2, 1)

        def pool(self, maps: list[Any], boxes: Any, counts: Any, size: int) -> Any:
            if len(maps) == 1:
                return vision.roi_align(maps[0], boxes, counts, size, 0.5, aligned=False)
            parts, order, numbers = vision.distribute_fpn_proposals(
                boxes, 2, 3, 2, 12, rois_num=counts
            )
            pooled = [
                vision.roi_align(
                    maps[level], parts[level], numbers[level], size, 0.5 / 2**level, aligned=False
                )
                for level in range(len(maps))
            ]
            return paddle.gather(paddle.concat(pooled), order)

        def mask_head(self, maps: list[Any], rows: Any, counts: Any) -> Any:
            if rows.shape[0] == 0:
                out = paddle.full([1, 1, 1], -1.0)
            else:
                every = self.masks(self.pool(maps, rows[:, 2:], counts, 6))
                which = paddle.arange(every.shape[0]).astype("int32")
                index = paddle.stack([which, rows[:, 0].astype("int32")], -1)
                out = functional.sigmoid(paddle.gather_nd(every, index) * 4)
            return out

    paddle.seed(5)
    inputs = {name: INPUTS[name] for name in ("im_shape", "image")}
    return save_layer(folder, Net(), **inputs)


def batch_feeds(images: int, seed: int = 0) -> dict[str, Array]:
    """Images of noise of different sizes inside a network input of 32 x 32."""
    rng = np.random.default_rng(seed)
    sizes = np.array([[32, 32], [24, 32], [30, 20]], np.float32)[:images]
    return {
        "im_shape": sizes,
        "image": rng.standard_normal((images, 3, 32, 32), dtype=np.float32),
    }
