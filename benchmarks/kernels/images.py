# SPDX-License-Identifier: Apache-2.0
"""Synthetic images with the smooth areas, edges and noise of photos, the same in every run."""

from __future__ import annotations

import functools

import cv2
import numpy as np

IMAGES_HW = {"480p": (480, 640), "1080p": (1080, 1920), "4K": (2160, 3840)}


@functools.cache
def synthetic_image(name: str) -> np.ndarray:
    """A (H, W, 3) uint8 BGR image of one of the sizes in `IMAGES_HW`."""
    height, width = IMAGES_HW[name]
    random = np.random.default_rng(7)
    coarse = random.integers(0, 256, (9, 16, 3), np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(40):
        x, y = int(random.integers(width)), int(random.integers(height))
        radius = int(random.integers(height // 40, height // 6))
        colour = [int(value) for value in random.integers(0, 256, 3)]
        cv2.circle(image, (x, y), radius, colour, -1)
    grain = random.integers(-12, 13, image.shape, np.int16)
    noisy: np.ndarray = np.clip(image.astype(np.int16) + grain, 0, 255).astype(np.uint8)
    return noisy
