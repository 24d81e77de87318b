# SPDX-License-Identifier: Apache-2.0
"""Pictures for the tiny model: coloured rectangles on black."""

from __future__ import annotations

import numpy as np

BGR = {"red": (0, 0, 230), "green": (0, 230, 0), "blue": (230, 0, 0)}


def rectangles(height: int, width: int, **areas_xyxy: tuple[int, int, int, int]) -> np.ndarray:
    """BGR picture with one filled rectangle per colour name; half-open pixels."""
    image = np.zeros((height, width, 3), np.uint8)
    for colour, (x0, y0, x1, y1) in areas_xyxy.items():
        image[y0:y1, x0:x1] = BGR[colour]
    return image
