# SPDX-License-Identifier: Apache-2.0
"""Outlines of binary masks as polygons."""

from __future__ import annotations

from typing import cast

import numpy as np

from hpip.common.opencv import require_cv2
from hpip.types import AnyArray, Float32Array, UInt8Array


def trace_outlines(
    mask: UInt8Array, offset_yx: tuple[int, int] = (0, 0), *, tolerance_px: float = 0.0
) -> list[Float32Array]:
    """Follow the outer pixel edges of every connected part of a mask.

    Pixel (x, y) is the square from (x, y) to (x + 1, y + 1), as COCO has it, and vertices lie on
    the corners of pixels: a single pixel is a square of area 1, and a part without holes encloses
    as much area as it has pixels. Holes are filled. Parts that touch at a corner are one.

    Args:
        mask: (H, W); what is not 0 is inside.
        offset_yx: where the mask's top left pixel lies in the image.
        tolerance_px: how far a simplified outline may stray; 0 keeps every corner.

    Returns:
        One flat array [x0, y0, x1, y1, ...] per part, not closed, in image pixels; none for an
        empty mask.
    """
    cv2 = require_cv2("tracing polygons")
    # OpenCV links the centres of border pixels. In a mask of twice the size, the centres beside a
    # pixel's edge have the coordinates 2k - 1 and 2k, and both round to the edge k.
    doubled = np.ascontiguousarray(mask != 0, np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    offset_xy = np.array(offset_yx[::-1], np.float32)
    rings = []
    for contour in contours:
        corners = _without_straight_points((contour.reshape(-1, 2) + 1) // 2)
        if tolerance_px > 0:
            simpler = cv2.approxPolyDP(corners.astype(np.float32), tolerance_px, True).reshape(
                -1, 2
            )
            # A part smaller than the tolerance would collapse to a line or a point.
            corners = simpler if len(simpler) >= 3 else corners
        rings.append((corners + offset_xy).astype(np.float32).reshape(-1))
    return rings


def _without_straight_points(ring: AnyArray) -> AnyArray:
    """Drop repeated vertices, then those where the outline doesn't turn."""
    ring = ring[np.any(ring != np.roll(ring, 1, axis=0), axis=1)]
    step_in = ring - np.roll(ring, 1, axis=0)
    step_out = np.roll(ring, -1, axis=0) - ring
    # Edges are horizontal or vertical, so a product of 0 means parallel; a reversal stays.
    turns = step_in[:, 0] * step_out[:, 1] != step_in[:, 1] * step_out[:, 0]
    reverses = np.sum(step_in * step_out, axis=1) < 0
    return cast(AnyArray, ring[turns | reverses])
