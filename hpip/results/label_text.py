# SPDX-License-Identifier: Apache-2.0
"""One line of text as a coverage map, from OpenCV's font or from a font file."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np

from hpip.errors import BackendUnavailableError, InvalidInputError
from hpip.types import UInt8Array


class LabelFont(Protocol):
    """A font at one size."""

    line_height_px: int

    def width_px(self, text: str) -> int:
        """Width of the map that `coverage` returns, without drawing it."""

    def coverage(self, text: str) -> UInt8Array:
        """(line_height_px, width) from 0, background, to 255, ink."""


def require_pillow(purpose: str) -> Any:
    """Return the `PIL` package with `Image`, `ImageDraw` and `ImageFont` imported.

    Raises:
        BackendUnavailableError: Pillow is not installed.
    """
    try:
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageFont
    except ImportError as error:
        raise BackendUnavailableError(
            "pillow",
            f"{purpose} needs Pillow, and importing it failed: {error}.",
            "Install it with `pip install pillow`.",
        ) from error
    return PIL


def open_label_font(cv2: ModuleType, *, text_px: int, font_path: str | Path | None) -> LabelFont:
    """The font at `font_path`, else OpenCV's own, with capitals about `text_px` high."""
    if font_path is None:
        return _OpenCvFont(cv2, text_px)
    return _FontFile(require_pillow("drawing labels in a font file"), text_px, font_path)


class _OpenCvFont:
    """OpenCV's sans serif, which has ASCII only: anything else becomes "?"."""

    def __init__(self, cv2: ModuleType, text_px: int) -> None:
        self._cv2 = cv2
        self._face = cv2.FONT_HERSHEY_SIMPLEX
        self._stroke_px = max(1, round(text_px / 10))
        self._scale = cv2.getFontScaleFromHeight(self._face, text_px, self._stroke_px)
        (_, ascent_px), descent_px = cv2.getTextSize("Ag", self._face, self._scale, self._stroke_px)
        self._baseline_y = ascent_px + self._stroke_px
        self.line_height_px = self._baseline_y + descent_px + self._stroke_px

    def width_px(self, text: str) -> int:
        """See `LabelFont`."""
        (width, _), _ = self._cv2.getTextSize(
            _ascii(text), self._face, self._scale, self._stroke_px
        )
        return int(width) + 2 * self._stroke_px

    def coverage(self, text: str) -> UInt8Array:
        """See `LabelFont`; what is not ASCII is drawn as a question mark."""
        drawn = np.zeros((self.line_height_px, self.width_px(text)), np.uint8)
        self._cv2.putText(
            drawn,
            _ascii(text),
            (self._stroke_px, self._baseline_y),
            self._face,
            self._scale,
            255,
            self._stroke_px,
            self._cv2.LINE_AA,
        )
        return drawn


class _FontFile:
    """A TrueType or OpenType font, drawn by Pillow."""

    def __init__(self, pil: Any, text_px: int, font_path: str | Path) -> None:
        self._pil = pil
        try:
            # The size of a font is that of its lines; capitals are about 0.7 of it.
            self._font = pil.ImageFont.truetype(str(font_path), round(text_px / 0.7))
        except OSError as error:
            raise InvalidInputError(
                f"font_path: expected a TrueType or OpenType font, received {font_path}: {error}"
            ) from error
        ascent_px, descent_px = self._font.getmetrics()
        self.line_height_px = int(ascent_px + descent_px)

    def width_px(self, text: str) -> int:
        """See `LabelFont`."""
        left, _, right, _ = self._font.getbbox(_one_line(text))
        return max(1, int(np.ceil(right)) - min(0, int(np.floor(left))))

    def coverage(self, text: str) -> UInt8Array:
        """See `LabelFont`; what can't be printed is drawn as a question mark."""
        text = _one_line(text)
        drawn = self._pil.Image.new("L", (self.width_px(text), self.line_height_px))
        left = min(0, int(np.floor(self._font.getbbox(text)[0])))
        self._pil.ImageDraw.Draw(drawn).text((-left, 0), text, fill=255, font=self._font)
        return cast(UInt8Array, np.asarray(drawn))


def _ascii(text: str) -> str:
    return "".join(char if " " <= char <= "~" else "?" for char in text)


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
