# SPDX-License-Identifier: Apache-2.0
"""Draws instances on an image: translucent masks, outlines, boxes and labels."""

from __future__ import annotations

import colorsys
import itertools
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeAlias, cast

import numpy as np

import hpip.ops as ops
from hpip.common.opencv import require_cv2
from hpip.errors import InvalidInputError
from hpip.results.label_text import LabelFont, LabelFonts
from hpip.types import Float32Array, Int64Array, RleMask, UInt8Array

ColorBgr: TypeAlias = tuple[int, int, int]
# y0, x0, y1, x1 in pixels, half-open.
_Rect: TypeAlias = tuple[int, int, int, int]

_GOLDEN_ANGLE_TURNS = 0.6180339887498949
# From a random search for the largest CIELAB distances among the first 12, 24 and 80 classes: at
# least 20, 13 and 6; a distance of about 2 is just noticeable.
_SATURATION_VALUE = ((0.85, 0.9), (0.9, 0.65), (0.65, 0.95), (0.85, 1.0))


def class_color_bgr(class_id: int) -> ColorBgr:
    """The colour of a class: the same in every image, and distinct from those of nearby ids.

    Hues advance by the golden angle, which distributes any number of classes evenly around the
    colour circle. Saturation and value alternate, to distinguish classes with similar hues.
    """
    hue = class_id * _GOLDEN_ANGLE_TURNS % 1.0
    saturation, value = _SATURATION_VALUE[class_id % len(_SATURATION_VALUE)]
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value))
    return blue, green, red


def draw_instances(
    image_bgr: UInt8Array,
    *,
    masks: Sequence[RleMask],
    boxes_xyxy: Float32Array,
    class_ids: Int64Array,
    labels: Sequence[str],
    scores: Float32Array,
    alpha: float = 0.5,
    font_path: str | Path | None = None,
    threads: int = 1,
) -> UInt8Array:
    """Draw instances on a copy of the image.

    The order is: masks, the largest first so that small ones stay visible; outlines; boxes; labels,
    the highest score on top. Line width and text size are proportional to the shorter side of the
    image. A label is shortened to fit into the image, and omitted if its score alone does not fit.
    Only one mask is decoded at a time, and only inside its crop.

    Args:
        image_bgr: (H, W, 3).
        masks: N masks whose crops lie inside the image.
        boxes_xyxy: (N, 4) in image pixels.
        class_ids: (N,), which determine the colours.
        labels: N class names, in any script; see `font_path`.
        scores: (N,)
        alpha: opacity of the masks, from 0 (outlines only) to 1.
        font_path: TrueType or OpenType font for the labels, drawn by Pillow. Without it, ASCII
            labels are drawn in OpenCV's font, and others in a font of the extra `fonts` or of the
            system. A label that no font can draw is replaced by its class id, with one warning.
        threads: CPU threads for the masks, at least 1.

    Returns:
        (H, W, 3) BGR, a new array.

    Raises:
        InvalidInputError: `alpha` or `threads` is out of range, or `font_path` is not a font.
        BackendUnavailableError: OpenCV is not installed, or `font_path` is given and Pillow is not
            installed.
    """
    if not 0.0 <= alpha <= 1.0:
        raise InvalidInputError(f"alpha: expected a number from 0 to 1; received {alpha!r}")
    canvas = np.array(image_bgr, order="C")
    if not masks:
        return canvas
    cv2 = require_cv2("drawing")
    short_side_px = min(canvas.shape[:2])
    line_px = max(1, round(short_side_px / 300))
    fonts = LabelFonts(cv2, text_px=max(9, round(short_side_px / 45)), font_path=font_path)

    colors = [class_color_bgr(int(class_id)) for class_id in class_ids]
    rects = [_pixel_rect(box) for box in boxes_xyxy]
    large_first = sorted(range(len(masks)), key=lambda i: -_crop_area(masks[i]))
    ops.map_masked_levels(
        canvas,
        [masks[i] for i in large_first],
        _blend_levels([colors[i] for i in large_first], alpha),
        threads=threads,
    )
    for i in large_first:
        _draw_outline(cv2, canvas, masks[i], colors[i], line_px)
    for (y0, x0, y1, x1), color in zip(rects, colors, strict=True):
        cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), color, line_px)
    texts = [fonts.for_label(*pair) for pair in zip(labels, class_ids.tolist(), strict=True)]
    _draw_labels(canvas, rects, colors, texts, scores)
    return canvas


def _crop_area(mask: RleMask) -> int:
    return mask.crop_hw[0] * mask.crop_hw[1]


def _pixel_rect(box_xyxy: Float32Array) -> _Rect:
    x0, y0, x1, y1 = (round(float(side)) for side in box_xyxy)
    return y0, x0, max(y1, y0 + 1), max(x1, x0 + 1)


def _blend_levels(colors: Sequence[ColorBgr], alpha: float) -> UInt8Array:
    """(N, 3, 256) lookup tables: each level of each channel, blended with a mask's colour."""
    levels = np.arange(256) * (1.0 - alpha) + alpha * np.array(colors, float)[:, :, np.newaxis]
    return cast(UInt8Array, np.rint(levels).astype(np.uint8))


def _draw_outline(
    cv2: ModuleType, canvas: UInt8Array, mask: RleMask, color: ColorBgr, line_px: int
) -> None:
    inside = ops.decode_rle(mask.counts, mask.crop_hw)
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    # Moves no point by more than a quarter of the line width. OpenCV's time is proportional to the
    # number of corners: 22 ms for ten masks of 400x500 at 1080p, 3 ms after the approximation.
    contours = [cv2.approxPolyDP(contour, line_px / 4, True) for contour in contours]
    offset_xy = mask.offset_yx[::-1]
    cv2.drawContours(canvas, contours, -1, color, line_px, cv2.LINE_AA, offset=offset_xy)


def _draw_labels(
    canvas: UInt8Array,
    rects: Sequence[_Rect],
    colors: Sequence[ColorBgr],
    texts: Sequence[tuple[LabelFont, str]],
    scores: Float32Array,
) -> None:
    """Place labels in descending order of the scores, then draw them in ascending order."""
    image_hw = canvas.shape[0], canvas.shape[1]
    placed: list[tuple[_Rect, UInt8Array]] = []
    for i in np.argsort(-scores, kind="stable"):
        font, text = texts[i]
        plate = _plate(text, float(scores[i]), colors[i], font, image_hw)
        if plate is not None:
            taken = [rect for rect, _ in placed]
            placed.append((_place(plate.shape[:2], rects[i], image_hw, taken), plate))
    for (y0, x0, y1, x1), plate in reversed(placed):
        canvas[y0:y1, x0:x1] = plate


def _plate(
    label: str, score: float, color: ColorBgr, font: LabelFont, image_hw: tuple[int, int]
) -> UInt8Array | None:
    """Render a label on the colour of its class; None if not even the score fits the image."""
    padding_px = max(1, font.line_height_px // 8)
    room_px = image_hw[1] - 2 * padding_px
    text = _fitting_text(label, score, font, room_px)
    if text is None or font.line_height_px + 2 * padding_px > image_hw[0]:
        return None
    share = np.arange(256, dtype=np.float32)[:, np.newaxis] / np.float32(255)
    mixed = np.array(color, np.float32) * (1 - share) + np.float32(_ink_level(color)) * share
    # Items of four bytes: NumPy takes ten times as long to look up rows of three.
    levels = np.zeros((256, 4), np.uint8)
    levels[:, :3] = np.rint(mixed)
    pixels = np.take(levels.view(np.uint32), np.pad(font.coverage(text), padding_px))
    return pixels.view(np.uint8).reshape(*pixels.shape, 4)[:, :, :3]


def _ink_level(background: ColorBgr) -> int:
    """0 (black) or 255 (white), whichever has the higher WCAG contrast, which is at least 4.5."""
    blue, green, red = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (level / 255 for level in background)
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return 0 if (luminance + 0.05) ** 2 > 0.05 * 1.05 else 255


def _fitting_text(label: str, score: float, font: LabelFont, room_px: int) -> str | None:
    """`label score`, with the label shortened to fit `room_px`; None if the score does not fit."""
    number = f"{score:.2f}"
    if font.width_px(f"{label} {number}") <= room_px:
        return f"{label} {number}"
    # Every character is at least one pixel wide.
    for kept in range(min(len(label) - 1, room_px), 0, -1):
        text = f"{label[:kept]}.. {number}"
        if font.width_px(text) <= room_px:
            return text
    return number if font.width_px(number) <= room_px else None


def _place(
    plate_hw: tuple[int, ...], box: _Rect, image_hw: tuple[int, int], taken: Sequence[_Rect]
) -> _Rect:
    """Choose the first position of a label that overlaps no other label.

    The positions are, in this order: above the box, inside its top, below it, inside its bottom. If
    all of them overlap other labels, the one with the smallest overlap is chosen.
    """
    height, width = plate_hw
    top, left, bottom, right = box
    last_y, last_x = image_hw[0] - height, image_hw[1] - width
    rows = [y for y in (top - height, top, bottom, bottom - height) if 0 <= y <= last_y]
    columns = [max(0, min(x, last_x)) for x in (left, right - width)]
    spots = itertools.product([*rows, max(0, min(top, last_y))], columns)
    best, best_px = (0, 0, 0, 0), -1
    for y, x in spots:
        rect = (y, x, y + height, x + width)
        covered_px = sum(_shared_px(rect, other) for other in taken)
        if covered_px == 0:
            return rect  # in most cases the first: faster than computing all of them
        if best_px < 0 or covered_px < best_px:
            best, best_px = rect, covered_px
    return best


def _shared_px(a: _Rect, b: _Rect) -> int:
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(height, 0) * max(width, 0)
