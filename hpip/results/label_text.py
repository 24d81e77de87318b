# SPDX-License-Identifier: Apache-2.0
"""Renders one line of text as a coverage map, in OpenCV's font or in a font file."""

from __future__ import annotations

import logging
import threading
import unicodedata
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np

from hpip.errors import BackendUnavailableError, InvalidInputError
from hpip.results.label_fonts import find_font, missing_characters, open_font
from hpip.types import UInt8Array

logger = logging.getLogger(__name__)

# Every label ends with a score.
_SCORE = "0123456789."


class LabelFont(Protocol):
    """A font at one size."""

    line_height_px: int

    def width_px(self, text: str) -> int:
        """Width of the map that `coverage` returns, without rendering it."""

    def coverage(self, text: str) -> UInt8Array:
        """Render text to (line_height_px, width), from 0 (background) to 255 (foreground)."""


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
            f"{purpose} requires Pillow, whose import failed: {error}.",
            "Install it with `pip install pillow`.",
        ) from error
    return PIL


class LabelFonts:
    """The fonts for the labels of one image; capital letters are about `text_px` high.

    ASCII labels use OpenCV's font unless `font_path` is given. Other labels use the first font that
    has all of their characters: `font_path`, one of the extra `fonts`, or one of the system.

    Raises:
        InvalidInputError: `font_path` is not a font.
        BackendUnavailableError: `font_path` is given, and Pillow is not installed.
    """

    def __init__(self, cv2: ModuleType, *, text_px: int, font_path: str | Path | None) -> None:
        self._text_px = text_px
        self._plain = _OpenCvFont(cv2, text_px)
        self._opened: dict[Path, _FontFile] = {}
        self._named: _FontFile | None = None
        if font_path is not None:
            pil = require_pillow("drawing labels with a font file")
            self._named = _FontFile(pil, text_px, font_path)

    def for_label(self, label: str, class_id: int) -> tuple[LabelFont, str]:
        """The font for a label, and the text to draw: the class id if no font has the label."""
        text = _one_line(label)
        if self._named is not None and not missing_characters(self._named.font, text + _SCORE):
            return self._named, text
        if text.isascii():
            return self._plain, text
        found = self._find(text)
        if found is not None:
            return found, text
        warn_of_missing_font(label)
        return self._named or self._plain, str(class_id)

    def _find(self, text: str) -> LabelFont | None:
        try:
            pil = require_pillow("drawing labels outside ASCII")
        except BackendUnavailableError:
            return None
        path = find_font(pil, "".join(sorted({*text, *_SCORE})))
        if path is None:
            return None
        if path not in self._opened:
            self._opened[path] = _FontFile(pil, self._text_px, path)
        return self._opened[path]


def check_font(font_path: str | Path | None) -> Path | None:
    """Check that a font can be opened; return its absolute path, or None for None.

    Raises:
        InvalidInputError: the file is not a font.
        BackendUnavailableError: Pillow is not installed.
    """
    if font_path is None:
        return None
    _FontFile(require_pillow("drawing labels with a font file"), 12, font_path)
    return Path(font_path).absolute()


_warned = threading.Event()


def warn_of_missing_font(label: str) -> None:
    """Log once per process why drawings show class ids, and how to show labels instead."""
    if not _warned.is_set():
        _warned.set()
        logger.warning(
            "no installed font has all characters of the label %r, so drawings show the class id"
            " instead. Install fonts with `pip install 'hpip[fonts]'`, or pass a font file with"
            " --font FILE (font_path in Python).",
            label,
        )


class _OpenCvFont:
    """OpenCV's sans-serif font, which supports ASCII only."""

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
        (width, _), _ = self._cv2.getTextSize(text, self._face, self._scale, self._stroke_px)
        return int(width) + 2 * self._stroke_px

    def coverage(self, text: str) -> UInt8Array:
        """See `LabelFont`."""
        drawn = np.zeros((self.line_height_px, self.width_px(text)), np.uint8)
        self._cv2.putText(
            drawn,
            text,
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
            # The size of a font is its line height; capital letters have about 0.7 of it.
            self.font = open_font(pil, font_path, round(text_px / 0.7))
        except (OSError, ValueError) as error:
            raise InvalidInputError(
                f"font_path: expected a TrueType or OpenType font; received {font_path}: {error}."
                " Pass the path of a font file."
            ) from error
        ascent_px, descent_px = self.font.getmetrics()
        self.line_height_px = int(ascent_px + descent_px)

    def width_px(self, text: str) -> int:
        """See `LabelFont`."""
        left, _, right, _ = self.font.getbbox(text)
        return max(1, int(np.ceil(right)) - min(0, int(np.floor(left))))

    def coverage(self, text: str) -> UInt8Array:
        """See `LabelFont`."""
        drawn = self._pil.Image.new("L", (self.width_px(text), self.line_height_px))
        left = min(0, int(np.floor(self.font.getbbox(text)[0])))
        self._pil.ImageDraw.Draw(drawn).text((-left, 0), text, fill=255, font=self.font)
        return cast(UInt8Array, np.asarray(drawn))


def _one_line(text: str) -> str:
    """Replace unprintable characters by "?", and remove zero-width format characters."""
    return "".join(
        char if char.isprintable() else "?" for char in text if unicodedata.category(char) != "Cf"
    )
