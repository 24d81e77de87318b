# SPDX-License-Identifier: Apache-2.0
"""What a MaskSource says remains to be done, done slowly and plainly in NumPy for one image."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpip.types import MaskSource

Array = np.ndarray[Any, Any]


def resize_bilinear(image: Array, height: int, width: int) -> Array:
    """(h, w) float32 to (height, width), sampled at pixel centres, edges repeated."""

    def axis(length: int, target: int) -> tuple[Array, Array, Array]:
        position = (np.arange(target, dtype=np.float32) + np.float32(0.5)) * np.float32(
            length / target
        ) - np.float32(0.5)
        position = np.maximum(position, 0)
        low = np.minimum(position.astype(np.int64), length - 1)
        return low, np.minimum(low + 1, length - 1), (position - low).astype(np.float32)

    y0, y1, fy = axis(image.shape[0], height)
    x0, x1, fx = axis(image.shape[1], width)
    rows = image[y0] * (1 - fy)[:, None] + image[y1] * fy[:, None]
    return rows[:, x0] * (1 - fx) + rows[:, x1] * fx


def paste_region(mask: Array, box: Array, height: int, width: int) -> Array:
    """Lay an (M, M) mask into its box, zero beyond half a mask pixel outside."""

    def axis(length: int, target: int, low: float, high: float) -> Array:
        centre = np.arange(target, dtype=np.float32) + np.float32(0.5)
        return (centre - low) / (high - low) * np.float32(length) - np.float32(0.5)

    def weights(position: Array, length: int) -> Array:
        matrix = np.zeros((len(position), length), np.float32)
        floor = np.floor(position).astype(np.int64)
        for offset in (0, 1):
            index = floor + offset
            inside = (index >= 0) & (index < length)
            share = 1 - np.abs(position - index)
            matrix[np.flatnonzero(inside), index[inside]] += share[inside].astype(np.float32)
        return matrix

    x0, y0, x1, y1 = (np.float32(number) for number in box)
    rows = weights(axis(mask.shape[0], height, y0, y1), mask.shape[0])
    columns = weights(axis(mask.shape[1], width, x0, x1), mask.shape[1])
    return rows @ mask @ columns.T


def canvas_and_origin(
    source: MaskSource, im_shape: Array, scale_yx: Array
) -> tuple[tuple[int, int], tuple[int, int]]:
    half = np.float32(0.5)
    if source.canvas == "row_scaled":
        size = (im_shape / scale_yx[0] + half).astype(np.int64)
        return tuple(size), tuple(size)
    if source.canvas == "unpadded":
        ratio = np.array(source.upsample_hw, np.float32) / scale_yx
        canvas = np.trunc(ratio + half).astype(np.int64)
        return tuple(canvas), tuple((im_shape / scale_yx).astype(np.int64))
    size = np.floor(im_shape / scale_yx + half).astype(np.int64)
    return tuple(size), tuple(size)


def finish(
    source: MaskSource, outputs: dict[str, Array], im_shape: Array, scale_yx: Array
) -> tuple[Array, Array]:
    """Rows (class, score, box in the image; zeros: no box) and masks of the original graph."""
    canvas, origin = canvas_and_origin(source, im_shape, scale_yx)
    if source.boxes_frame == "none":
        count = len(outputs["scores"])
        rows = np.zeros((count, 6), np.float32)
        rows[:, 0] = outputs["class_ids"]
        rows[:, 1] = outputs["scores"]
    else:
        rows = outputs["boxes"].astype(np.float32).copy()
    network_boxes = rows[:, 2:].copy()
    if source.boxes_frame == "network":
        rows[:, 2:] /= np.tile(scale_yx[::-1], 2).astype(np.float32)
    if source.clips_boxes:
        rows[:, 2::2] = rows[:, 2::2].clip(0, origin[1])
        rows[:, 3::2] = rows[:, 3::2].clip(0, origin[0])
        empty = (rows[:, 4] <= rows[:, 2]) | (rows[:, 5] <= rows[:, 3])
        rows[empty, 0] = -1
    if source.has_prototypes:
        prototypes = outputs["prototypes"]
        prototypes = prototypes.reshape(prototypes.shape[-3:])
        coefficients = outputs["coefficients"]
        values = np.tensordot(coefficients.reshape(-1, coefficients.shape[-1]), prototypes, 1)
    else:
        values = outputs["masks"].reshape(-1, *outputs["masks"].shape[-2:])
    masks = np.zeros((len(rows), *origin), np.uint8)
    for index in range(len(rows)):
        value = values[index]
        if source.activation == "sigmoid":
            value = np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * value))
        if source.upsample_hw is not None:
            value = resize_bilinear(value, *source.upsample_hw)
        if source.crops_to_box:
            x0, y0, x1, y1 = network_boxes[index]
            ys, xs = np.arange(value.shape[0])[:, None], np.arange(value.shape[1])
            value = value * ((xs >= x0) & (xs < x1) & (ys >= y0) & (ys < y1))
        if source.crops_to_image:
            value = value[: int(im_shape[0]), : int(im_shape[1])]
        if rows[index, 0] < 0:
            continue
        if source.convention == "region":
            value = paste_region(value, rows[index, 2:], *canvas)
        else:
            value = resize_bilinear(value, *canvas)
        above = value >= source.threshold if source.inclusive else value > source.threshold
        masks[index] = above[: origin[0], : origin[1]]
    return rows, masks
