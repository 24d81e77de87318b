# SPDX-License-Identifier: Apache-2.0
"""Proposals, suppression, levels and pooling, one box and one sample at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hpip.types import Float32Array

Box = Sequence[float]


def overlap(a: Box, b: Box, extra: float) -> float:
    """Intersection over union in float32; NaN for boxes of no area that touch."""
    if b[0] > a[2] or b[2] < a[0] or b[1] > a[3] or b[3] < a[1]:
        return 0.0
    one, other = np.float32(a), np.float32(b)
    with np.errstate(invalid="ignore"):
        sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]) + np.float32(extra)
        shared = sides[0] * sides[1]
        return float(shared / (_area(one, extra) + _area(other, extra) - shared))


def _area(box: Float32Array, extra: float) -> np.float32:
    if box[2] < box[0] or box[3] < box[1]:
        return np.float32(0)
    width, height = box[2:] - box[:2] + np.float32(extra)
    return np.float32(width * height)


def suppress(boxes: Sequence[Box], threshold: float, extra: float, eta: float) -> list[int]:
    """Positions of the boxes that are kept, of boxes that come best first."""
    limit = np.float32(threshold)
    kept: list[int] = []
    for position, box in enumerate(boxes):
        if all(overlap(box, boxes[other], extra) <= limit for other in kept):
            kept.append(position)
            if eta < 1 and limit > 0.5:
                limit = np.float32(limit * np.float32(eta))
    return kept


def proposals(
    scores: Float32Array,
    deltas: Float32Array,
    anchors: Float32Array,
    image_hw: tuple[float, float],
    *,
    pre_nms_top_n: int,
    post_nms_top_n: int,
    nms_threshold: float,
    min_size: float,
    eta: float,
    pixel_offset: bool,
) -> tuple[Float32Array, Float32Array]:
    """Boxes and scores of one image: scores (A, H, W), all different, and deltas (4A, H, W)."""
    by_cell = scores.transpose(1, 2, 0).reshape(-1)
    delta_rows = deltas.transpose(1, 2, 0).reshape(-1, 4)
    order = sorted(range(len(by_cell)), key=lambda i: -by_cell[i])
    extra = 1.0 if pixel_offset else 0.0
    boxes: list[Float32Array] = []
    chosen: list[int] = []
    for i in order[: pre_nms_top_n if pre_nms_top_n > 0 else None]:
        box = _decoded(anchors.reshape(-1, 4)[i], delta_rows[i], image_hw, extra)
        sides = box[2:] - box[:2] + extra
        centre = box[:2] + sides / 2
        inside = not pixel_offset or (centre[0] <= image_hw[1] and centre[1] <= image_hw[0])
        if (sides >= max(min_size, 1)).all() and inside:
            boxes.append(box)
            chosen.append(i)
    if not boxes:
        return np.zeros((1, 4), np.float32), np.zeros((1, 1), np.float32)
    kept = suppress(boxes, nms_threshold, extra, eta)  # type: ignore[arg-type]
    kept = kept[: post_nms_top_n if post_nms_top_n > 0 else None]
    return (
        np.array([boxes[k] for k in kept], np.float32),
        np.array([[by_cell[chosen[k]]] for k in kept], np.float32),
    )


def _decoded(
    anchor: Float32Array, delta: Float32Array, image_hw: tuple[float, float], extra: float
) -> Float32Array:
    sides = anchor[2:] - anchor[:2] + np.float32(extra)
    centre = delta[:2] * sides + (anchor[:2] + np.float32(0.5) * sides)
    scaled = np.exp(np.minimum(delta[2:], np.float32(math.log(1000 / 16)))) * sides
    box = np.concatenate([centre - scaled / 2, centre + scaled / 2 - np.float32(extra)])
    limits = np.float32([image_hw[1], image_hw[0]] * 2) - np.float32(extra)
    return np.maximum(np.minimum(box, limits), 0).astype(np.float32)


def detections(
    boxes: Float32Array,
    scores: Float32Array,
    *,
    per_class: bool,
    score_threshold: float,
    nms_top_k: int,
    keep_top_k: int,
    nms_threshold: float,
    normalized: bool,
    nms_eta: float,
    background_label: int,
) -> list[tuple[int, int]]:
    """(class, box) of what one image keeps: scores (M, C), boxes (M, 4) or per class (M, C, 4)."""
    kept: list[tuple[int, int]] = []
    for label in range(scores.shape[1]):
        if label == background_label:
            continue
        passing = [i for i, score in enumerate(scores[:, label]) if score > score_threshold]
        passing.sort(key=lambda i: -scores[i, label])
        passing = passing[: nms_top_k if nms_top_k >= 0 else None]
        own = boxes[:, label] if per_class else boxes
        found = suppress(own[passing], nms_threshold, 0.0 if normalized else 1.0, nms_eta)  # type: ignore[arg-type]
        rows = [passing[position] for position in found]
        kept += [(label, row) for row in (sorted(rows) if per_class else rows)]
    if 0 <= keep_top_k < len(kept):
        best = sorted(range(len(kept)), key=lambda k: -scores[kept[k][1], kept[k][0]])
        kept = [kept[k] for k in sorted(best[:keep_top_k])]
    return kept


def level(
    box: Box, *, min_level: int, max_level: int, refer_level: int, refer_scale: int, extra: float
) -> int:
    """Level of a pyramid that a box belongs to."""
    side = np.sqrt(_area(np.float32(box), extra))
    octave = np.log2(side / np.float32(refer_scale) + np.float32(1e-6))
    return min(max_level, max(math.floor(octave + np.float32(refer_level)), min_level))


def pooled(
    features: Float32Array,
    box: Box,
    output_hw: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Float32Array:
    """RoIAlign of one box on the map (C, H, W) of its image."""
    left, top, right, bottom = np.float32(box) * np.float32(spatial_scale) - (
        np.float32(0.5) if aligned else np.float32(0)
    )
    sides = [bottom - top, right - left]
    if not aligned:
        sides = [max(side, np.float32(1)) for side in sides]
    bins = [side / np.float32(count) for side, count in zip(sides, output_hw, strict=True)]
    samples = [sampling_ratio if sampling_ratio > 0 else math.ceil(length) for length in bins]
    out = np.zeros((len(features), *output_hw), np.float64)
    for row, column in np.ndindex(*output_hw):
        for y, x in np.ndindex(max(0, samples[0]), max(0, samples[1])):
            at_y = _position(top, bins[0], row, y, samples[0])
            at_x = _position(left, bins[1], column, x, samples[1])
            out[:, row, column] += _sampled(features, at_y, at_x) / (samples[0] * samples[1])
    return out.astype(np.float32)


def _position(start: float, length: float, index: int, sample: int, samples: int) -> float:
    """In float32: whether a sample at the very border counts depends on it."""
    return np.float32(start) + np.float32(length) * (
        np.float32(index) + np.float32(sample + 0.5) / np.float32(samples)
    )


def _sampled(features: Float32Array, y: float, x: float) -> Float32Array:
    _, height, width = features.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(len(features), np.float32)
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = features[:, top, left] * (left + 1 - x) + features[:, top, right] * (x - left)
    lower = features[:, bottom, left] * (left + 1 - x) + features[:, bottom, right] * (x - left)
    blended: Float32Array = upper * (top + 1 - y) + lower * (y - top)
    return blended
