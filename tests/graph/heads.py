# SPDX-License-Identifier: Apache-2.0
"""Tiny networks that end as the five families of exports do, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .programs import paddle_module, save_layer

Array = np.ndarray[Any, Any]

INPUTS: dict[str, tuple[list[int | None], str]] = {
    "im_shape": ([None, 2], "float32"),
    "image": ([None, 3, 32, 32], "float32"),
    "scale_factor": ([None, 2], "float32"),
}


def feeds(original_hw: tuple[int, int] = (48, 40), seed: int = 0) -> dict[str, Array]:
    """One image of noise that was resized to 32 x 32."""
    noise = np.random.default_rng(seed).standard_normal((1, 3, 32, 32), dtype=np.float32)
    scale = np.array([[32 / original_hw[0], 32 / original_hw[1]]], np.float32)
    return {"im_shape": np.array([[32, 32]], np.float32), "image": noise, "scale_factor": scale}


NMS_OPTIONS = {
    "score_threshold": 0.05,
    "nms_top_k": -1,
    "keep_top_k": 20,
    "nms_threshold": 0.5,
    "normalized": True,
    "nms_eta": 1.0,
    "background_label": -1,
}


def nms(paddle: Any, boxes: Any, scores: Any, rois_num: Any, **options: Any) -> Any:
    values = NMS_OPTIONS | options
    from paddle import _C_ops

    rows, index, counts = _C_ops.multiclass_nms3(boxes, scores, rois_num, *values.values())
    return rows, counts, index


def image_masks(
    folder: Path,
    *,
    probability: float = 0.5,
    pixel_centres: bool = True,
    from_queries: bool = False,
) -> Path:
    """Mask logits at a quarter of the input, resized to the original, as Mask-RT-DETR ends.

    `from_queries`: the logits of five among seven queries, each times prototypes.
    """
    paddle = paddle_module()
    functional = paddle.nn.functional

    class Net(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.logits = paddle.nn.Conv2D(3, 5, 4, stride=4)
            self.queries = paddle.nn.Linear(5, 7)

        def forward(self, im_shape: Any, image: Any, scale_factor: Any) -> Any:
            logits = self.picked(self.logits(image)) if from_queries else self.logits(image)
            original = paddle.floor(im_shape / scale_factor + 0.5)
            height, width = paddle.split(original, 2, axis=-1)
            size = [height[0].astype("int32"), width[0].astype("int32")]
            resized = functional.interpolate(
                logits, size=size, mode="bilinear", align_corners=not pixel_centres
            )
            masks = (functional.sigmoid(resized) > probability).astype("float32")
            scores = functional.sigmoid(logits.mean([2, 3]))
            box = paddle.tile(paddle.flip(original, [1]), [1, 2]).unsqueeze(1)
            boxes = box * functional.sigmoid(logits[:, :, 0, :4])
            labels = paddle.zeros_like(scores)
            rows = paddle.concat([labels.unsqueeze(-1), scores.unsqueeze(-1), boxes], -1)
            counts = paddle.to_tensor(5, "int32").tile([rows.shape[0]])
            return rows.reshape([-1, 6]), counts, masks.flatten(0, 1).astype("int32")

        def picked(self, prototypes: Any) -> Any:
            embeddings = self.queries(prototypes.mean(3).transpose([0, 2, 1]))[:, :5]
            embeddings = embeddings.transpose([0, 2, 1])
            product = paddle.bmm(embeddings, prototypes.flatten(2))
            every = paddle.stack([product.reshape([prototypes.shape[0], 7, 8, 8])])[-1]
            _, index = paddle.topk(embeddings.sum(-1), 5)
            rows = paddle.arange(embeddings.shape[0]).unsqueeze(-1).tile([1, 5])
            return paddle.gather_nd(every, paddle.stack([rows, index], -1))

    paddle.seed(0)
    return save_layer(folder, Net(), **INPUTS)


def _candidate_boxes() -> Array:
    corners = np.random.default_rng(1).uniform(0, 24, (12, 2))
    sizes = np.random.default_rng(2).uniform(-1, 20, (12, 2)).clip(0.5)
    return np.concatenate([corners, corners + sizes], 1).astype(np.float32)


def region_masks(folder: Path, *, rows_from_loop: bool = False, threshold: float = 0.5) -> Path:
    """A small R-CNN: NMS, loops over the images, a mask head in an `if`, masks pasted in a loop.

    `rows_from_loop`: the mask head reads the boxes that the loop rebuilt, as in Cascade R-CNN.
    """
    paddle = paddle_module()
    functional = paddle.nn.functional

    class Net(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.features = paddle.nn.Conv2D(3, 4, 3, padding=1)
            self.classes = paddle.nn.Linear(4 * 9, 3)
            self.masks = paddle.nn.Conv2D(4, 3, 3, padding=1)
            self.register_buffer("candidates", paddle.to_tensor(_candidate_boxes()))

        def forward(self, im_shape: Any, image: Any, scale_factor: Any) -> Any:
            features = self.features(image)
            number = paddle.full([1], 12, "int32")
            regions = paddle.vision.ops.roi_align(features, self.candidates, number, 3)
            scores = functional.softmax(self.classes(regions.flatten(1)) * 3)
            boxes = self.candidates.unsqueeze(1).tile([1, 3, 1])
            rows, counts, _ = nms(paddle, boxes, scores, number)
            if rows_from_loop:
                rows, scaled, counts, original = self.rescale(rows, counts, im_shape, scale_factor)
                probabilities = self.mask_head(features, rows, counts)
            else:
                probabilities = self.mask_head(features, rows, counts)
                rows, scaled, counts, original = self.rescale(rows, counts, im_shape, scale_factor)
            return scaled, counts, self.paste(probabilities, scaled, counts, original)

        def mask_head(self, features: Any, rows: Any, counts: Any) -> Any:
            if rows.shape[0] == 0:
                out = paddle.full([1, 1, 1], -1.0)
            else:
                regions = paddle.vision.ops.roi_align(features, rows[:, 2:], counts, 6)
                every = self.masks(regions)
                index = paddle.arange(every.shape[0]).astype("int32")
                pairs = paddle.stack([index, rows[:, 0].astype("int32")], -1)
                out = functional.sigmoid(paddle.gather_nd(every, pairs))
            return out

        def rescale(self, rows: Any, counts: Any, im_shape: Any, scale_factor: Any) -> Any:
            made_up = paddle.to_tensor(np.array([[0.0, 0.0, 0.0, 0.0, 1.0, 1.0]], "float32"))
            one = paddle.to_tensor(np.array([1], "int32"))
            pieces, numbers, start = [], [], 0
            for i in range(counts.shape[0]):
                if counts[i] == 0:
                    piece, number = made_up, one
                else:
                    piece, number = rows[start : start + counts[i], :], counts[i : i + 1]
                    start += counts[i]
                pieces.append(piece)
                numbers.append(number)
            rows, counts = paddle.concat(pieces), paddle.concat(numbers)
            original = paddle.floor(im_shape / scale_factor + 0.5)
            sizes, factors = [], []
            for i in range(counts.shape[0]):
                sizes.append(paddle.expand(original[i : i + 1, :], [counts[i : i + 1], 2]))
                y, x = scale_factor[i, 0:1], scale_factor[i, 1:2]
                factor = paddle.concat([x, y, x, y])
                factors.append(paddle.expand(factor, [counts[i : i + 1], 4]))
            sizes, factors = paddle.concat(sizes), paddle.concat(factors)
            scaled = rows[:, 2:] / factors
            height, width = sizes[:, 0], sizes[:, 1]
            zeros = paddle.zeros_like(height)
            corners = [
                paddle.maximum(paddle.minimum(scaled[:, 0], width), zeros),
                paddle.maximum(paddle.minimum(scaled[:, 1], height), zeros),
                paddle.maximum(paddle.minimum(scaled[:, 2], width), zeros),
                paddle.maximum(paddle.minimum(scaled[:, 3], height), zeros),
            ]
            boxes = paddle.stack(corners, -1)
            across, down = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
            kept = paddle.logical_and(down > 0.0, across > 0.0).unsqueeze(1)
            labels = paddle.where(kept, rows[:, 0:1], paddle.ones_like(rows[:, 0:1]) * -1)
            return rows, paddle.concat([labels, rows[:, 1:2], boxes], 1), counts, sizes

        def paste(self, probabilities: Any, rows: Any, counts: Any, original: Any) -> Any:
            sizes = original.astype("int32")
            shape = [probabilities.shape[0], paddle.max(sizes[:, 0]), paddle.max(sizes[:, 1])]
            result = paddle.zeros(shape, "int32") - 1
            start = paddle.to_tensor(0, "int64")
            for i in range(counts.shape[0]):
                end = start + counts[i].astype("int64")
                box, piece = rows[start:end, :], probabilities[start:end, :, :]
                height, width = sizes[i, 0], sizes[i, 1]
                x0, y0, x1, y1 = paddle.split(box[:, 2:], 4, axis=1)
                ys = (paddle.arange(height).astype("float32") + 0.5 - y0) / (y1 - y0) * 2 - 1
                xs = (paddle.arange(width).astype("float32") + 0.5 - x0) / (x1 - x0) * 2 - 1
                lengths = [box.shape[0], ys.shape[1], xs.shape[1]]
                grid = paddle.stack(
                    [xs.unsqueeze(1).expand(lengths), ys.unsqueeze(2).expand(lengths)], 3
                )
                pasted = functional.grid_sample(piece.unsqueeze(1), grid, align_corners=False)
                masks = (pasted[:, 0] >= threshold).astype("int32")
                result[start:end, 0:height, 0:width] = masks
                start = end
            return result

    paddle.seed(3)
    return save_layer(folder, Net(), **INPUTS)


def coefficient_masks(folder: Path, *, threshold: float = 0.5) -> Path:
    """Masks as coefficients of kept boxes times prototypes, as PP-YOLOE's segmentation ends."""
    paddle = paddle_module()
    functional = paddle.nn.functional

    class Net(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.prototypes = paddle.nn.Conv2D(3, 4, 4, stride=4)
            self.scores = paddle.nn.Conv2D(3, 2, 8, stride=8)
            self.coefficients = paddle.nn.Conv2D(3, 4, 8, stride=8)
            self.register_buffer("candidates", paddle.to_tensor(_grid_boxes()))

        def forward(self, im_shape: Any, image: Any, scale_factor: Any) -> Any:
            prototypes = self.prototypes(image)
            scores = functional.sigmoid(self.scores(image).flatten(2) * 2)
            coefficients = self.coefficients(image).flatten(2) * 3
            boxes = paddle.expand(self.candidates, [image.shape[0], 16, 4])
            rows, counts, index = nms(paddle, boxes, scores, None, nms_threshold=0.7)
            if counts.sum() > 0:
                each = coefficients.transpose([0, 2, 1]).reshape([-1, 4])
                kept = paddle.gather(each, index)
                masks = functional.sigmoid(kept @ prototypes[0].reshape([4, -1]))
                masks = functional.interpolate(
                    masks.reshape([-1, 8, 8]).unsqueeze(0), size=[32, 32], mode="bilinear"
                )[0]
                masks = self.crop(masks, rows[:, 2:])
                size = (im_shape[0] / scale_factor[0]).astype("int32")
                target = [
                    paddle.round(32 / scale_factor[0][0]).astype("int32"),
                    paddle.round(32 / scale_factor[0][1]).astype("int32"),
                ]
                masks = functional.interpolate(masks.unsqueeze(0), size=target, mode="bilinear")
                masks = masks[:, :, : size[0], : size[1]].squeeze(0)
                masks = (masks > threshold).astype("float32")
                rows[:, 2:] = rows[:, 2:] / scale_factor.flip(-1).tile([1, 2])
            else:
                size = (im_shape[0] / scale_factor[0]).astype("int32")
                counts = paddle.ones([1], "int32")
                rows = paddle.zeros([1, 6])
                masks = paddle.zeros([1, size[0], size[1]])
            return rows, counts, masks

        def crop(self, masks: Any, boxes: Any) -> Any:
            x0, y0, x1, y1 = paddle.split(boxes.unsqueeze(2), 4, axis=1)
            xs = paddle.arange(32, dtype="float32").unsqueeze([0, 1])
            ys = paddle.arange(32, dtype="float32").unsqueeze([0, 2])
            inside = (xs >= x0) * (xs < x1) * (ys >= y0) * (ys < y1)
            return masks * inside.astype("float32")

    paddle.seed(0)
    return save_layer(folder, Net(), **INPUTS)


def _grid_boxes() -> Array:
    centre = np.arange(4) * 8 + 4.0
    y, x = (axis.reshape(-1) for axis in np.meshgrid(centre, centre, indexing="ij"))
    corners = np.stack([x - 7, y - 5.5, x + 6.2, y + 8], 1)
    return corners[None].astype(np.float32)


def matrix_nms_masks(folder: Path, *, threshold: float = 0.5) -> Path:
    """Candidates above 0.1, their masks, quality, decayed scores: as SOLOv2 ends."""
    paddle = paddle_module()
    functional = paddle.nn.functional

    class Net(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.scores = paddle.nn.Conv2D(3, 2, 8, stride=8)
            self.kernels = paddle.nn.Conv2D(3, 4, 8, stride=8)
            self.features = paddle.nn.Conv2D(3, 4, 4, stride=4)

        def forward(self, im_shape: Any, image: Any, scale_factor: Any) -> Any:
            size, factor = im_shape[0], scale_factor[0][0]
            height, width = size[0].astype("int32"), size[1].astype("int32")
            scores = functional.sigmoid(self.scores(image).flatten(2)[0].transpose([1, 0]) * 2)
            kernels = self.kernels(image).flatten(2)[0].transpose([1, 0])
            candidates = paddle.where(scores > 0.1, scores, paddle.zeros([16, 2]))
            found = paddle.nonzero(candidates)
            last = paddle.full([1, 2], 0, "int64") + paddle.to_tensor(np.array([[16, 0]], "int64"))
            found = paddle.concat([found, last])
            kernels = paddle.concat([kernels, paddle.ones([1, 4])])
            flat = paddle.concat([scores.reshape([-1]), paddle.zeros([2])])
            kept = paddle.gather(flat, found[:, 0] * 2 + found[:, 1])
            labels = found[:, 1]
            kernels = paddle.gather(kernels, found[:, 0])
            logits = functional.conv2d(self.features(image), kernels.unsqueeze([2, 3])).squeeze(0)
            soft = functional.sigmoid(logits * 3)
            hard = (soft > 0.5).astype("float32")
            area = hard.sum([1, 2])
            quality = (soft * hard).sum([1, 2]) / (area + 1e-6)
            kept = kept * quality
            order = paddle.argsort(kept, descending=True)
            soft, hard = paddle.gather(soft, order), paddle.gather(hard, order)
            area, kept = paddle.gather(area, order), paddle.gather(kept, order)
            labels = paddle.gather(labels, order)
            kept = kept * self.decay(hard.flatten(1), area, labels)
            soft = functional.interpolate(soft.unsqueeze(0), size=[32, 32], mode="bilinear")
            target = (size / factor + 0.5).astype("int32")
            soft = functional.interpolate(
                soft[:, :, :height, :width], size=target, mode="bilinear"
            ).squeeze(0)
            return labels.shape[0], labels, kept, (soft > threshold).astype("uint8")

        def decay(self, hard: Any, area: Any, labels: Any) -> Any:
            count = area.shape[0]
            common = hard @ hard.transpose([1, 0])
            areas = area.expand([count, count])
            same = labels.expand([count, count])
            same = (same == same.transpose([1, 0])).astype("float32").triu(1)
            overlap = (common / (areas + areas.transpose([1, 0]) - common + 1e-6)).triu(1) * same
            own = overlap.max(0).expand([count, count]).transpose([1, 0])
            return (paddle.exp(-2 * overlap**2) / paddle.exp(-2 * own**2)).min(0)

    paddle.seed(0)
    return save_layer(folder, Net(), **INPUTS)
