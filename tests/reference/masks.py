# SPDX-License-Identifier: Apache-2.0
"""Mask pasting, one pixel at a time."""

from __future__ import annotations

import math

import numpy as np

from hpip.types import Float32Array


def _region_position(pixel: int, low: np.float32, high: np.float32, length: int) -> np.float32:
    """Where a pixel's centre lies in a mask over [low, high), as Paddle computes it in float32."""
    with np.errstate(divide="ignore", invalid="ignore"):
        normalized = np.float32(pixel + 0.5 - low) / (high - low) * np.float32(2) - np.float32(1)
        return ((normalized + np.float32(1)) * np.float32(length) - np.float32(1)) / np.float32(2)


def region_values(
    mask: Float32Array, box_xyxy: Float32Array, image_hw: tuple[int, int]
) -> Float32Array:
    """Bilinear samples of a mask over its box; what lies outside of the mask counts as 0."""
    height, width = mask.shape
    values = np.zeros(image_hw, np.float32)
    for y, x in np.ndindex(*image_hw):
        source_x = _region_position(x, box_xyxy[0], box_xyxy[2], width)
        source_y = _region_position(y, box_xyxy[1], box_xyxy[3], height)
        if not (math.isfinite(source_x) and math.isfinite(source_y)):
            continue
        left, top = math.floor(source_x), math.floor(source_y)
        for row in (top, top + 1):
            for column in (left, left + 1):
                if 0 <= row < height and 0 <= column < width:
                    weight = (1 - abs(source_y - row)) * (1 - abs(source_x - column))
                    values[y, x] += mask[row, column] * weight
    return values


def image_values(mask: Float32Array, image_hw: tuple[int, int]) -> Float32Array:
    """A mask over the whole image, resized bilinearly; its border continues to the edge."""
    height, width = mask.shape
    values = np.zeros(image_hw, np.float32)
    for y, x in np.ndindex(*image_hw):
        source_y = max(0.0, (y + 0.5) * height / image_hw[0] - 0.5)
        source_x = max(0.0, (x + 0.5) * width / image_hw[1] - 0.5)
        top, left = min(int(source_y), height - 1), min(int(source_x), width - 1)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        weight_y, weight_x = source_y - top, source_x - left
        upper = mask[top, left] * (1 - weight_x) + mask[top, right] * weight_x
        lower = mask[bottom, left] * (1 - weight_x) + mask[bottom, right] * weight_x
        values[y, x] = upper * (1 - weight_y) + lower * weight_y
    return values


def crop_box(box_xyxy: Float32Array, image_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """PaddleX's rounding, and at least the touched pixels where it leaves none."""
    height, width = image_hw
    x0, x1 = _crop_span(float(box_xyxy[0]), float(box_xyxy[2]), width)
    y0, y1 = _crop_span(float(box_xyxy[1]), float(box_xyxy[3]), height)
    return x0, y0, x1, y1


def _crop_span(low: float, high: float, length: int) -> tuple[int, int]:
    low, high = (min(max(value, 0.0), length) for value in (low, high))
    begin, end = round(low), round(high)
    if begin < end:
        return begin, end
    begin = min(math.floor(low), length - 1)
    return begin, max(begin + 1, math.ceil(high))
