# SPDX-License-Identifier: Apache-2.0
"""Cut-outs with known outlines: colour emoji, embossed coins and unlabelled clutter.

A sprite is a (S, S, 4) float32 array in [0, 1]: RGB and coverage. Colours are not premultiplied.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
SPRITE_SIDE = 128

EMOJI = {
    "apple": "🍎🍏",
    "banana": "🍌",
    "strawberry": "🍓",
    "sunflower": "🌻",
    "football": "⚽",
    "car": "🚗🚙🚕",
    "cat": "🐱😺",
    "fish": "🐟🐠",
    "mushroom": "🍄",
}
LABELS = ("coin", *EMOJI)

CLUTTER = "📎🔧📕🥕🧦🔋🪑🌲🥨🧀👟🔑🐘🌵🎈🦋🍇🪁✂🧩"
PORTRAITS = "👤🗣🦁🐴🦅🐢🦉🐂🌿👑🦬🐬🏺🌾🦌🐗🏛👨👩👸🤴🧔🧝🧙"


def render_emoji(character: str, font: Path = FONT) -> np.ndarray:
    """Render one emoji of the bitmap font, trimmed and centred on a square canvas."""
    face = _font(font)
    canvas = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(canvas).text((12, 12), character, font=face, embedded_color=True)
    trimmed = np.asarray(canvas.crop(canvas.getbbox()), np.float32) / 255.0
    return _centre(trimmed)


def make_coin(rng: np.random.Generator, font: Path = FONT) -> np.ndarray:
    """Render one worn coin: an irregular disc with an embossed face, lit from one side."""
    side = SPRITE_SIDE
    yy, xx = np.mgrid[0:side, 0:side].astype(np.float32)
    centre = (side - 1) / 2
    dx, dy = (xx - centre) / (side * 0.47), (yy - centre) / (side * 0.47)
    angle = np.arctan2(dy, dx)
    outline = _coin_outline(rng, angle)
    radius = np.hypot(dx, dy) / outline
    alpha = np.clip((1.0 - radius) * side * 0.3 + 0.5, 0.0, 1.0)
    height = _coin_relief(rng, radius, angle, font)
    shade = _lit(rng, height, radius)
    metal = _metal(rng)
    grain = 1.0 + rng.uniform(0.02, 0.12) * _smooth_noise(rng, side, rng.uniform(0.8, 2.5))
    patina = 1.0 + rng.uniform(0.0, 0.35) * _smooth_noise(rng, side, rng.uniform(5, 16))
    grey = np.clip(shade * grain * patina, 0.0, 1.3)
    rgb = np.clip(grey[..., None] * metal, 0.0, 1.0)
    return np.dstack([rgb, alpha]).astype(np.float32)


def make_clutter(rng: np.random.Generator, font: Path = FONT) -> np.ndarray:
    """Render an object without a class: another emoji, a plain polygon or a blob."""
    if rng.random() < 0.5:
        return render_emoji(CLUTTER[rng.integers(len(CLUTTER))], font)
    side = SPRITE_SIDE
    corners = int(rng.integers(3, 9))
    theta = np.sort(rng.uniform(0, 2 * np.pi, corners))
    reach = rng.uniform(0.25, 0.48, corners) * side
    points = np.stack([np.cos(theta) * reach, np.sin(theta) * reach], 1) + side / 2
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [points.astype(np.int32)], 255, cv2.LINE_AA)
    texture = 0.5 + 0.2 * _smooth_noise(rng, side, rng.uniform(2, 20))
    rgb = np.clip(rng.uniform(0.1, 1.0, 3) * texture[..., None] * 1.6, 0.0, 1.0)
    return np.dstack([rgb, mask / 255.0]).astype(np.float32)


@cache
def _font(path: Path) -> ImageFont.FreeTypeFont:
    # 109 is the only size that the bitmap font contains.
    return ImageFont.truetype(str(path), 109)


def _centre(trimmed: np.ndarray) -> np.ndarray:
    height, width = trimmed.shape[:2]
    zoom = SPRITE_SIDE * 0.94 / max(height, width)
    shift = SPRITE_SIDE / 2 - np.array([width, height]) * zoom / 2
    matrix = np.float32([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    premultiplied = trimmed * np.dstack([trimmed[..., 3:]] * 3 + [np.ones_like(trimmed[..., 3:])])
    moved = cv2.warpAffine(premultiplied, matrix, (SPRITE_SIDE, SPRITE_SIDE))
    rgb = moved[..., :3] / np.maximum(moved[..., 3:], 1e-4)
    return np.dstack([np.clip(rgb, 0, 1), moved[..., 3]]).astype(np.float32)


def _smooth_noise(rng: np.random.Generator, side: int, sigma: float) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.standard_normal((side, side)).astype(np.float32), (0, 0), sigma)
    return noise / (np.abs(noise).max() + 1e-6)


def _coin_outline(rng: np.random.Generator, angle: np.ndarray) -> np.ndarray:
    """Radius of the edge per angle, at most 1; hand-struck coins are not exactly round."""
    strength = rng.choice([0.0, 0.015, 0.04])
    outline = np.ones_like(angle)
    for harmonic in range(2, 8):
        phase, gain = rng.uniform(0, 2 * np.pi), rng.normal(0, strength / np.sqrt(harmonic - 1))
        outline = outline + gain * np.cos(harmonic * angle + phase)
    return outline / outline.max()


def _coin_relief(
    rng: np.random.Generator, radius: np.ndarray, angle: np.ndarray, font: Path
) -> np.ndarray:
    side = radius.shape[0]
    face = render_emoji(PORTRAITS[rng.integers(len(PORTRAITS))], font)
    detail = face[..., :3].mean(2) * face[..., 3] + 0.6 * face[..., 3]
    if rng.random() < 0.5:
        detail = detail[:, ::-1]
    zoom = rng.uniform(0.6, 0.95)
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(-25, 25), zoom)
    matrix[:, 2] += rng.uniform(-6, 6, 2)
    detail = cv2.warpAffine(np.ascontiguousarray(detail), matrix, (side, side))
    detail = cv2.GaussianBlur(detail, (0, 0), rng.uniform(1.0, 2.2))
    height = rng.uniform(0.4, 1.2) * detail
    height += rng.uniform(0.0, 0.8) * _smooth_noise(rng, side, rng.uniform(2.5, 6.0))
    if rng.random() < 0.6:
        ring, width = rng.uniform(0.84, 0.95), rng.uniform(0.02, 0.05)
        height += rng.uniform(0.2, 0.7) * np.exp(-(((radius - ring) / width) ** 2))
    if rng.random() < 0.5:
        beads = int(rng.integers(24, 60))
        dots = np.maximum(np.cos(angle * beads), 0) * np.exp(-(((radius - 0.87) / 0.04) ** 2))
        height += rng.uniform(0.1, 0.5) * dots
    # The edge of a coin is rounded over the outer tenth of its radius.
    height += rng.uniform(0.3, 1.2) * np.sqrt(np.clip(1.0 - radius**4, 0.0, 1.0))
    return height.astype(np.float32)


def _lit(rng: np.random.Generator, height: np.ndarray, radius: np.ndarray) -> np.ndarray:
    strength = rng.uniform(2.5, 7.0)
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=0.125) * strength
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=0.125) * strength
    norm = np.sqrt(slope_x**2 + slope_y**2 + 1.0)
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.2)
    light = (np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation))
    cosine = (-slope_x * light[0] - slope_y * light[1] + np.sin(elevation)) / norm
    diffuse = np.clip(cosine, 0.0, 1.0)
    ambient = rng.uniform(0.1, 0.4)
    shine = rng.uniform(0.0, 0.5) * diffuse ** rng.uniform(6, 20)
    rim = 1.0 - rng.uniform(0.0, 0.5) * np.clip((radius - 0.85) / 0.15, 0, 1) ** 2
    return (ambient + (1 - ambient) * diffuse * rng.uniform(0.6, 1.0) + shine) * rim


def _metal(rng: np.random.Generator) -> np.ndarray:
    base = {
        "silver": (0.80, 0.80, 0.78),
        "gold": (0.95, 0.76, 0.35),
        "copper": (0.80, 0.50, 0.34),
        "bronze": (0.58, 0.48, 0.32),
        "dark": (0.45, 0.45, 0.44),
    }
    colour = np.array(base[rng.choice(sorted(base))], np.float32)
    return np.clip(colour * rng.normal(1.0, 0.06, 3), 0.05, 1.0).astype(np.float32)
