# SPDX-License-Identifier: Apache-2.0
"""Clips boxes to a frame, and finds those that have an area."""

from __future__ import annotations

import numpy as np

from hpip.types import AnyArray, Float32Array


def clip_boxes(boxes_xyxy: AnyArray, size_hw: tuple[int, int]) -> Float32Array:
    """Clip half-open boxes to a frame.

    Args:
        boxes_xyxy: (N, 4) in pixels of the frame.
        size_hw: height and width of the frame.

    Returns:
        A new array (N, 4).
    """
    height, width = size_hw
    corner = np.array([width, height, width, height], np.float32)
    return boxes_xyxy.astype(np.float32).clip(0, corner)


def have_area(boxes_xyxy: AnyArray) -> AnyArray:
    """(N,) bool: whether a box (N, 4) has both a width and a height."""
    x0, y0, x1, y1 = boxes_xyxy.T
    nonempty: AnyArray = (x1 > x0) & (y1 > y0)
    return nonempty
