# SPDX-License-Identifier: Apache-2.0
"""Composes labelled images of sprites and backgrounds; (seed, index) determines the image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from backgrounds import make_background, make_tray
from sprites import EMOJI, FONT, LABELS, make_clutter, make_coin, render_emoji

MIN_VISIBLE = 0.45
MIN_AREA_PX = 120


@dataclass
class Scene:
    """An image and the visible part of each object.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        ids: (H, W) uint8; 0 is background, k is the object `classes[k - 1]`.
        classes: index in `LABELS` per object.
    """

    image: np.ndarray
    ids: np.ndarray
    classes: list[int]

    def masks(self) -> np.ndarray:
        """Return the visible masks as (N, H, W) bool."""
        return self.ids[None] == np.arange(1, len(self.classes) + 1)[:, None, None]


@dataclass
class _Canvas:
    image: np.ndarray
    ids: np.ndarray
    classes: list[int] = field(default_factory=list)
    areas: list[int] = field(default_factory=list)

    def visible_after(self, cover: np.ndarray, region: tuple[slice, slice]) -> bool:
        """Whether all objects remain recognisable after `cover` is pasted over `region`."""
        hidden = np.bincount(self.ids[region][cover], minlength=len(self.areas) + 1)[1:]
        for index in np.flatnonzero(hidden):
            left = np.count_nonzero(self.ids == index + 1) - hidden[index]
            if left < max(MIN_VISIBLE * self.areas[index], MIN_AREA_PX):
                return False
        return True


class SceneMaker:
    """Creates the scenes of one split; the splits share no coins and no backgrounds."""

    def __init__(
        self, seed: int, *, held_out: bool = False, coins: int = 400, font: Path = FONT
    ) -> None:
        self.seed, self.held_out, self.font = seed, held_out, font
        rng = np.random.default_rng([seed, 1 + held_out])
        self._coins = [make_coin(rng, font) for _ in range(coins)]
        self._emoji = [[render_emoji(c, font) for c in drawn] for drawn in EMOJI.values()]
        self._clutter = [make_clutter(rng, font) for _ in range(60)]

    def make(self, index: int, image_hw: tuple[int, int] | None = None) -> Scene:
        """Create image `index`, by default of random size; the same arguments, the same pixels."""
        rng = np.random.default_rng([self.seed, 1 + self.held_out, index])
        random_hw = (int(rng.integers(260, 420)), int(rng.integers(260, 420)))
        image_hw = image_hw or random_hw
        grid = rng.random() < 0.25
        if grid and rng.random() < 0.75:
            background = make_tray(rng, image_hw)
        else:
            background = make_background(rng, image_hw, held_out=self.held_out)
        canvas = _Canvas(background.astype(np.float32), np.zeros(image_hw, np.uint8))
        if grid:
            self._lay_coins(rng, canvas)
        else:
            self._scatter(rng, canvas)
        image = _photograph(rng, canvas.image, grey=rng.random() < (0.65 if grid else 0.2))
        return Scene(image, canvas.ids, canvas.classes)

    def _scatter(self, rng: np.random.Generator, canvas: _Canvas) -> None:
        short = min(canvas.ids.shape)
        largest = rng.uniform(0.25, 0.6)
        for _ in range(int(rng.integers(3, 15))):
            size = short * np.exp(rng.uniform(np.log(0.09), np.log(largest)))
            centre = rng.uniform(0, canvas.ids.shape[1]), rng.uniform(0, canvas.ids.shape[0])
            kind = rng.random()
            if kind < 0.15:
                clutter = self._clutter[rng.integers(len(self._clutter))]
                self._paste(rng, canvas, clutter, None, size, centre)
            elif kind < 0.35:
                self._paste(rng, canvas, self._coin(rng), 0, min(size, short * 0.4), centre)
            else:
                label = int(rng.integers(1, len(LABELS)))
                drawn = self._emoji[label - 1]
                self._paste(rng, canvas, drawn[rng.integers(len(drawn))], label, size, centre)

    def _lay_coins(self, rng: np.random.Generator, canvas: _Canvas) -> None:
        height, width = canvas.ids.shape
        rows, columns = int(rng.integers(2, 6)), int(rng.integers(2, 8))
        pitch_x, pitch_y = width / columns, height / rows
        jitter, fill = rng.uniform(0, 0.2), rng.uniform(0.5, 0.98)
        spread, absent = rng.uniform(0, 0.3), rng.uniform(0, 0.3)
        for row in range(rows):
            for column in range(columns):
                if rng.random() < absent:
                    continue
                size = min(pitch_x, pitch_y) * fill * np.exp(rng.normal(0, spread))
                x = (column + 0.5 + rng.normal(0, jitter)) * pitch_x
                y = (row + 0.5 + rng.normal(0, jitter)) * pitch_y
                size = float(np.clip(size, 22, 0.5 * min(height, width)))
                self._paste(rng, canvas, self._coin(rng), 0, size, (x, y))

    def _coin(self, rng: np.random.Generator) -> np.ndarray:
        return self._coins[rng.integers(len(self._coins))]

    def _paste(
        self,
        rng: np.random.Generator,
        canvas: _Canvas,
        sprite: np.ndarray,
        label: int | None,
        size: float,
        centre: tuple[float, float],
    ) -> None:
        turn = rng.uniform(-180, 180) if label == 0 or rng.random() < 0.3 else rng.normal(0, 20)
        patch = _warp(rng, sprite, size, turn)
        side = patch.shape[0]
        left, top = int(centre[0] - side / 2), int(centre[1] - side / 2)
        x0, y0 = max(left, 0), max(top, 0)
        x1 = min(left + side, canvas.ids.shape[1])
        y1 = min(top + side, canvas.ids.shape[0])
        if x1 - x0 < 8 or y1 - y0 < 8:
            return
        region = slice(y0, y1), slice(x0, x1)
        patch = patch[y0 - top : y1 - top, x0 - left : x1 - left]
        cover = patch[..., 3] > 0.5
        area = int(cover.sum())
        if area < MIN_AREA_PX or not canvas.visible_after(cover, region):
            return
        _cast_shadow(rng, canvas.image, patch[..., 3], (x0, y0), size)
        under = canvas.image[region]
        under *= 1.0 - patch[..., 3:]
        under += patch[..., :3]
        if label is None:
            canvas.ids[region][cover] = 0
        else:
            canvas.classes.append(label)
            canvas.areas.append(area)
            canvas.ids[region][cover] = len(canvas.classes)


def _warp(rng: np.random.Generator, sprite: np.ndarray, size: float, turn: float) -> np.ndarray:
    """Scale, light, squeeze and rotate a sprite; the result is square with premultiplied alpha."""
    small = max(int(size), 8)
    scaled = cv2.resize(sprite, (small, small), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        scaled = np.ascontiguousarray(scaled[:, ::-1])
    gain = rng.normal(1.0, 0.12) * rng.normal(1.0, 0.04, 3)
    ramp = np.linspace(-1, 1, small, dtype=np.float32) * rng.uniform(-0.2, 0.2)
    scaled[..., :3] *= (gain * (1.0 + ramp[:, None, None])).astype(np.float32)
    np.clip(scaled, 0.0, 1.0, out=scaled)
    scaled[..., :3] *= scaled[..., 3:]
    side = int(small * 1.45) + 2
    radians = np.deg2rad(turn)
    squeeze = np.diag([1.0, rng.uniform(0.82, 1.0)])
    lean = rng.uniform(0, np.pi)
    spin = np.array([[np.cos(lean), -np.sin(lean)], [np.sin(lean), np.cos(lean)]])
    turned = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    linear = spin @ squeeze @ spin.T @ turned
    offset = (side - 1) / 2 - linear @ np.full(2, (small - 1) / 2)
    return cv2.warpAffine(scaled, np.column_stack([linear, offset]), (side, side))


def _cast_shadow(
    rng: np.random.Generator,
    image: np.ndarray,
    alpha: np.ndarray,
    origin_xy: tuple[int, int],
    size: float,
) -> None:
    if rng.random() < 0.3:
        return
    softness = size * rng.uniform(0.02, 0.08) + 0.5
    reach = rng.normal(0, size * 0.05, 2)
    margin = int(np.ceil(2 * softness + np.abs(reach).max())) + 1
    padded = cv2.copyMakeBorder(alpha, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    moved = cv2.warpAffine(
        padded, np.float32([[1, 0, reach[0]], [0, 1, reach[1]]]), padded.shape[::-1]
    )
    shadow = cv2.GaussianBlur(moved, (0, 0), softness) * rng.uniform(0.2, 0.7)
    x, y = origin_xy[0] - margin, origin_xy[1] - margin
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + shadow.shape[1], image.shape[1]), min(y + shadow.shape[0], image.shape[0])
    image[y0:y1, x0:x1] *= 1.0 - shadow[y0 - y : y1 - y, x0 - x : x1 - x, None]


def _photograph(rng: np.random.Generator, image: np.ndarray, *, grey: bool) -> np.ndarray:
    """Simulate a photograph of the scene: lighting, tone, blur, noise and compression."""
    height, width = image.shape[:2]
    if grey:
        image = np.repeat(image @ np.float32([[0.299], [0.587], [0.114]]), 3, 2)
    yy = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    xx = np.linspace(-1, 1, width, dtype=np.float32)[None]
    turn, fall = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.35)
    light = 1.0 + fall * (xx * np.cos(turn) + yy * np.sin(turn))
    if rng.random() < 0.3:
        light = light - rng.uniform(0, 0.3) * (xx**2 + yy**2) / 2
    image = np.clip(image * light[..., None], 0, 1) ** np.exp(rng.normal(0, 0.25))
    contrast, brightness = rng.uniform(0.7, 1.15), rng.normal(0, 0.05)
    image = (image - 0.5) * contrast + 0.5 + brightness
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3))
    noise = rng.standard_normal((height, width, 1 if grey else 3), dtype=np.float32)
    image = image + rng.uniform(0.0, 0.04) * noise
    exposed = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 95))]
        _, coded = cv2.imencode(".jpg", exposed[..., ::-1], quality)
        exposed = np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])
    return exposed
