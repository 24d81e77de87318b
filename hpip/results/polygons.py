# SPDX-License-Identifier: Apache-2.0
"""Converts binary masks to polygons."""

from __future__ import annotations

from typing import cast

import numpy as np

from hpip.common.opencv import require_cv2
from hpip.types import AnyArray, Float32Array, UInt8Array


def trace_outlines(
    mask: UInt8Array, offset_yx: tuple[int, int] = (0, 0), *, tolerance_px: float = 0.0
) -> list[Float32Array]:
    """Trace the outer boundary of every connected component of a mask.

    As in COCO, pixel (x, y) is the square from (x, y) to (x + 1, y + 1), and vertices lie on the
    corners of pixels: a single pixel is a square of area 1, and the area of a component without
    holes is its number of pixels. Holes are filled. Components are 8-connected.

    Args:
        mask: (H, W); every value other than 0 is foreground.
        offset_yx: position of the mask's top left pixel in the image.
        tolerance_px: maximum distance between a simplified boundary and the exact one; 0 keeps
            every corner.

    Returns:
        One flat array [x0, y0, x1, y1, ...] per component, not closed, in image pixels; an empty
        list for an empty mask.
    """
    cv2 = require_cv2("tracing polygons")
    # OpenCV connects the centres of boundary pixels. In a mask of twice the size, the centres on
    # both sides of edge k have the coordinates 2k - 1 and 2k, which both round to k.
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
            # A component smaller than the tolerance would degenerate to a line or a point.
            corners = simpler if len(simpler) >= 3 else corners
        rings.append((corners + offset_xy).astype(np.float32).reshape(-1))
    return rings


def _without_straight_points(ring: AnyArray) -> AnyArray:
    """Remove repeated vertices, then those at which the boundary has no corner."""
    ring = ring[np.any(ring != np.roll(ring, 1, axis=0), axis=1)]
    step_in = ring - np.roll(ring, 1, axis=0)
    step_out = np.roll(ring, -1, axis=0) - ring
    # Edges are horizontal or vertical, so they are parallel if the products are equal; a vertex at
    # which the boundary reverses is kept.
    turns = step_in[:, 0] * step_out[:, 1] != step_in[:, 1] * step_out[:, 0]
    reverses = np.sum(step_in * step_out, axis=1) < 0
    return cast(AnyArray, ring[turns | reverses])
