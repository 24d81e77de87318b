# SPDX-License-Identifier: Apache-2.0
"""What OpenCV's four interpolations are, written for reading: one axis is a matrix.

A row of such a matrix holds the share of every source pixel in one target pixel. Nothing here
imports OpenCV.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Matrix = np.ndarray
CUBIC_A = -0.75


def resize(image: np.ndarray, size_hw: tuple[int, int], interpolation: str) -> np.ndarray:
    """The resized image: uint8 "linear" in OpenCV's fixed point, all else exact, as float64."""
    if image.shape[:2] == size_hw:
        return image.astype(np.float64)
    shrinks = all(new <= old for new, old in zip(size_hw, image.shape, strict=False))
    if interpolation == "linear" or (interpolation == "area" and not shrinks):
        area = interpolation == "area"
        if image.dtype == np.uint8:
            return _linear_u8(image, size_hw, area).astype(np.float64)
        return _apply(image, size_hw, lambda n, m: linear_matrix(n, m, area))
    matrix = {"nearest": nearest_matrix, "cubic": cubic_matrix, "area": area_matrix}[interpolation]
    return _apply(image, size_hw, matrix)


def nearest_matrix(source: int, target: int) -> Matrix:
    matrix = np.zeros((target, source))
    for i in range(target):
        matrix[i, min(int(i * _step(source, target)), source - 1)] = 1
    return matrix


def linear_matrix(source: int, target: int, area: bool = False) -> Matrix:
    matrix = np.zeros((target, source))
    for i in range(target):
        base, fraction = _linear_position(i, source, target, area, np.float64)
        matrix[i, _inside(base, source)] += 1 - fraction
        matrix[i, _inside(base + 1, source)] += fraction
    return matrix


def cubic_matrix(source: int, target: int) -> Matrix:
    matrix = np.zeros((target, source))
    for i in range(target):
        position = (i + 0.5) * _step(source, target) - 0.5
        base = int(np.floor(position))
        for pixel in range(base - 1, base + 3):
            matrix[i, _inside(pixel, source)] += _cubic_weight(abs(position - pixel))
    return matrix


def area_matrix(source: int, target: int) -> Matrix:
    """Each target pixel is the mean over its cell; slivers under 0.001 pixel do not count."""
    step = _step(source, target)
    matrix = np.zeros((target, source))
    for i in range(target):
        begin, end = i * step, min((i + 1) * step, source)
        for pixel in range(source):
            share = min(end, pixel + 1) - max(begin, pixel)
            if share > 1e-3:
                matrix[i, pixel] = share / (end - begin)
    return matrix


def _cubic_weight(distance: float) -> float:
    d, a = distance, CUBIC_A
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    if d < 2:
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return 0.0


def _step(source: int, target: int) -> float:
    return 1.0 / (target / source)


def _inside(pixel: int, source: int) -> int:
    return min(max(pixel, 0), source - 1)


def _linear_position(
    i: int, source: int, target: int, area: bool, real: type[np.floating]
) -> tuple[int, np.floating]:
    """The pixel left of (or above) a target pixel's position, and how far to go to the next."""
    step = _step(source, target)
    if area:
        base = int(np.floor(i * step))
        fraction = np.float32((i + 1) - (base + 1) * (target / source))
        return base, real(0) if fraction <= 0 else real(fraction - np.floor(fraction))
    position = real((i + 0.5) * step - 0.5)
    base = int(np.floor(position))
    return base, real(position - real(base))


def _apply(
    image: np.ndarray, size_hw: tuple[int, int], matrix: Callable[[int, int], Matrix]
) -> np.ndarray:
    rows = matrix(image.shape[0], size_hw[0])
    columns = matrix(image.shape[1], size_hw[1])
    return np.einsum("yY,YX...,xX->yx...", rows, image.astype(np.float64), columns)


def _linear_u8(image: np.ndarray, size_hw: tuple[int, int], area: bool) -> np.ndarray:
    """OpenCV's fixed point: weights in 1/2048, and only some of the product's bits are kept."""

    def taps(source: int, target: int, snap: bool) -> list[tuple[int, int, int, int]]:
        found = []
        for i in range(target):
            base, fraction = _linear_position(i, source, target, area, np.float32)
            if snap and (base < 0 or base >= source - 1):
                fraction = np.float32(0)
            weights = [int(np.rint(w * 2048)) for w in (np.float32(1) - fraction, fraction)]
            found.append((_inside(base, source), _inside(base + 1, source), *weights))
        return found

    wide = image.astype(np.int64)
    columns = taps(image.shape[1], size_hw[1], True)
    rows = taps(image.shape[0], size_hw[0], False)
    narrow = np.stack([wide[:, i] * v + wide[:, j] * w for i, j, v, w in columns], axis=1)
    kept = narrow >> 4
    blended = [((kept[i] * v) >> 16) + ((kept[j] * w) >> 16) for i, j, v, w in rows]
    return ((np.stack(blended) + 2) >> 2).astype(np.uint8)
