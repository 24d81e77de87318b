# SPDX-License-Identifier: Apache-2.0
"""Creates `coins_reference.png`, the ground-truth masks for the photograph of coins.

Uses classic segmentation: the image is divided by the smooth shading of the board, a watershed
grows from markers of coins and board along the edges, and small regions are removed. The result was
checked by eye.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage
from skimage import data, filters, measure, morphology, segmentation

HERE = Path(__file__).parent
MIN_COIN_PX = 400


def segment(photo: np.ndarray) -> np.ndarray:
    """Return (H, W) uint8, 0 for the board and 1..24 for the coins in reading order."""
    smooth = filters.gaussian(photo.astype(np.float64), 1.0)
    board = ndimage.percentile_filter(smooth, 15, size=81)
    board = filters.gaussian(board, 20.0)
    contrast = smooth / board
    markers = np.zeros(photo.shape, np.int32)
    markers[contrast < 1.15] = 1
    markers[contrast > 1.75] = 2
    filled = segmentation.watershed(filters.sobel(contrast), markers) == 2
    filled = ndimage.binary_fill_holes(filled)
    filled = morphology.opening(filled, morphology.disk(4))
    filled = morphology.remove_small_objects(filled, max_size=MIN_COIN_PX)
    labels = measure.label(filled)
    regions = sorted(
        measure.regionprops(labels), key=lambda r: (r.centroid[0] // 62, r.centroid[1])
    )
    ordered = np.zeros(photo.shape, np.uint8)
    for number, region in enumerate(regions, 1):
        ordered[labels == region.label] = number
    return ordered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, default=HERE / "coins_reference.png")
    parser.add_argument("--preview", type=Path, help="also draw the outlines on the photograph")
    args = parser.parse_args()
    photo = data.coins()
    labels = segment(photo)
    cv2.imwrite(str(args.target), labels)
    print(f"{labels.max()} coins, areas {np.bincount(labels.ravel())[1:].tolist()}")
    if args.preview:
        large = cv2.resize(photo, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
        canvas = cv2.cvtColor(large, cv2.COLOR_GRAY2BGR)
        for number in range(1, int(labels.max()) + 1):
            mask = cv2.resize((labels == number).astype(np.uint8), large.shape[::-1])
            outline, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(canvas, outline, -1, (0, 255, 255), 1)
        cv2.imwrite(str(args.preview), canvas)


if __name__ == "__main__":
    main()
