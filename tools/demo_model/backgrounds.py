# SPDX-License-Identifier: Apache-2.0
"""Creates backgrounds from photographs in PyPI packages and from procedural textures.

The lists do not contain `coins.png`, which is used only for the evaluation.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

TRAIN_PHOTOS = (
    ("skimage", "data/astronaut.png"),
    ("skimage", "data/brick.png"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/grass.png"),
    ("skimage", "data/gravel.png"),
    ("skimage", "data/hubble_deep_field.jpg"),
    ("skimage", "data/ihc.png"),
    ("skimage", "data/moon.png"),
    ("skimage", "data/retina.jpg"),
    ("skimage", "data/motorcycle_left.png"),
    ("sklearn", "datasets/images/china.jpg"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)
HELD_OUT_PHOTOS = (
    ("skimage", "data/coffee.png"),
    ("skimage", "data/rocket.jpg"),
    ("skimage", "data/camera.png"),
    ("sklearn", "datasets/images/flower.jpg"),
)


def make_background(
    rng: np.random.Generator, image_hw: tuple[int, int], *, held_out: bool
) -> np.ndarray:
    """Draw one background as (H, W, 3) float32 RGB in [0, 1]."""
    if rng.random() < 0.6:
        photos = HELD_OUT_PHOTOS if held_out else TRAIN_PHOTOS
        package, name = photos[rng.integers(len(photos))]
        background = _crop(rng, _load(package, name), image_hw)
    else:
        background = make_texture(rng, image_hw)
    if rng.random() < 0.25:
        background = cv2.GaussianBlur(background, (0, 0), rng.uniform(0.8, 4.0))
    return np.clip(background, 0.0, 1.0)


def make_texture(rng: np.random.Generator, image_hw: tuple[int, int]) -> np.ndarray:
    """Draw a plain, grained, striped or tiled surface under uneven colour."""
    height, width = image_hw
    base = rng.uniform(0.05, 0.95, 3).astype(np.float32)
    other = np.clip(base + rng.normal(0, 0.2, 3), 0, 1).astype(np.float32)
    kind = rng.choice(["plain", "clouds", "stripes", "tiles"])
    if kind == "plain":
        blend = np.zeros((height, width), np.float32)
    elif kind == "clouds":
        blend = clouds(rng, image_hw)
    else:
        yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
        turn, period = rng.uniform(0, np.pi), rng.uniform(6, 60)
        u = (xx * np.cos(turn) + yy * np.sin(turn)) / period
        v = (-xx * np.sin(turn) + yy * np.cos(turn)) / period
        u = u + rng.uniform(0, 0.6) * clouds(rng, image_hw)
        blend = (u % 1 > 0.5).astype(np.float32) if kind == "stripes" else _tiles(u, v)
    image = base + (other - base) * blend[..., None]
    grain = rng.standard_normal((height, width, 1)).astype(np.float32)
    return np.clip(image + rng.uniform(0.0, 0.06) * grain, 0.0, 1.0)


def make_tray(rng: np.random.Generator, image_hw: tuple[int, int]) -> np.ndarray:
    """Draw the uneven cloth or board that collections are photographed on."""
    height, width = image_hw
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    ramp = (xx / width - 0.5) * np.cos(turn) + (yy / height - 0.5) * np.sin(turn)
    level = rng.uniform(0.05, 0.6) if rng.random() < 0.8 else rng.uniform(0.6, 0.95)
    shade = level + rng.uniform(0.0, 0.35) * ramp + rng.uniform(0, 0.08) * clouds(rng, image_hw)
    tint = 1.0 + rng.normal(0, 0.06, 3).astype(np.float32)
    grain = rng.standard_normal((height, width, 1)).astype(np.float32)
    return np.clip(shade[..., None] * tint + rng.uniform(0.005, 0.03) * grain, 0.0, 1.0)


def clouds(rng: np.random.Generator, image_hw: tuple[int, int]) -> np.ndarray:
    """Sum a few octaves of smooth noise into (H, W) float32 in [0, 1]."""
    height, width = image_hw
    total = np.zeros(image_hw, np.float32)
    for octave in range(int(rng.integers(2, 6))):
        cells = 3 * 2**octave
        grid = rng.random((cells, cells), dtype=np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    low, high = total.min(), total.max()
    return (total - low) / (high - low + 1e-6)


def _tiles(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    joint = np.minimum(np.abs(u % 1 - 0.5), np.abs(v % 1 - 0.5))
    return (joint < 0.06).astype(np.float32)


@cache
def _load(package: str, name: str) -> np.ndarray:
    spec = find_spec(package)  # only the package's files are needed, so it is not imported
    if spec is None or spec.origin is None:
        message = f"{name}: the package {package} is not installed; install requirements.txt"
        raise FileNotFoundError(message)
    path = Path(spec.origin).parent / name
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        message = f"{path} is missing or not an image; install {package} as in requirements.txt"
        raise FileNotFoundError(message)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _crop(rng: np.random.Generator, photo: np.ndarray, image_hw: tuple[int, int]) -> np.ndarray:
    height, width = image_hw
    fit = min(photo.shape[0] / height, photo.shape[1] / width)
    zoom = fit * rng.uniform(0.4, 1.0)
    crop_h, crop_w = int(height * zoom), int(width * zoom)
    top = int(rng.integers(photo.shape[0] - crop_h + 1))
    left = int(rng.integers(photo.shape[1] - crop_w + 1))
    crop = photo[top : top + crop_h, left : left + crop_w]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    size = (width, height)
    resized = cv2.resize(np.ascontiguousarray(crop), size, interpolation=cv2.INTER_AREA)
    return resized.astype(np.float32) / 255.0
