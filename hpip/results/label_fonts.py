# SPDX-License-Identifier: Apache-2.0
"""Finds fonts for scripts that OpenCV's built-in font does not support."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

_SUFFIXES = frozenset({".ttf", ".otf", ".ttc", ".otc"})
# Entry-point group under which the packages of the extra `fonts` register themselves.
_PACKS = "justmytype.packs"
# Styles of a font family to avoid: labels use upright sans serif of regular weight.
_UNWANTED = (
    *("italic", "oblique", "mono", "serif", "bold", "black", "thin", "light", "condensed"),
    *("medium", "extra", "math", "emoji", "symbol"),
)
_REGULAR_WEIGHT = 400
_PROBE_PX = 20


def open_font(pil: Any, path: str | Path, size_px: int) -> Any:
    """Open a font, in its regular weight if it is a variable font.

    Raises:
        OSError: the file is not a font.
    """
    font = pil.ImageFont.truetype(str(path), size_px)
    try:
        axes = font.get_variation_axes()
    except (OSError, NotImplementedError):
        return font  # not a variable font
    wanted = [
        min(max(_REGULAR_WEIGHT, axis["minimum"]), axis["maximum"])
        if axis["name"] in (b"Weight", "Weight")
        else axis["default"]
        for axis in axes
    ]
    font.set_variation_by_axes(wanted)
    return font


def missing_characters(font: Any, text: str) -> str:
    """The characters for which the font has no glyph."""
    nothing = font.getmask("\U0010ffff")
    blank = nothing.size, bytes(nothing)
    return "".join(
        char
        for char in dict.fromkeys(text)
        if not char.isspace() and ((mask := font.getmask(char)).size, bytes(mask)) == blank
    )


@lru_cache(maxsize=4096)
def find_font(pil: Any, text: str) -> Path | None:
    """Find an installed font that has every character of `text`; None if there is none.

    Fonts of the extra `fonts` precede those of the system.
    """
    for path in _font_files():
        if _draws(pil, path, text):
            return path
    return None


def _draws(pil: Any, path: Path, text: str) -> bool:
    try:
        return not missing_characters(pil.ImageFont.truetype(str(path), _PROBE_PX), text)
    except (OSError, ValueError):
        return False  # damaged, or a bitmap font of other sizes


@lru_cache(maxsize=1)
def _font_files() -> tuple[Path, ...]:
    return (*_installed_packs(), *_system_fonts())


def _installed_packs() -> Iterator[Path]:
    for entry in sorted(entry_points(group=_PACKS), key=lambda entry: entry.name):
        # Only the package's location is needed, so none of its code is executed.
        spec = importlib.util.find_spec(entry.module)
        for folder in (spec and spec.submodule_search_locations) or ():
            yield from _fonts_below(Path(folder))


def _system_fonts() -> Iterator[Path]:
    home = Path(os.path.expanduser("~"))  # noqa: PTH111
    data_home = os.environ.get("XDG_DATA_HOME") or home / ".local" / "share"
    shared = (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
    folders = [Path(data_home, "fonts"), home / ".fonts", *(Path(one, "fonts") for one in shared)]
    if sys.platform == "darwin":
        folders += [home / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts")]
    if sys.platform == "win32":
        folders.append(Path(os.environ.get("WINDIR", r"C:\Windows"), "Fonts"))
    for folder in folders:
        yield from _fonts_below(folder)


def _fonts_below(folder: Path) -> list[Path]:
    """The font files below a folder, those with the preferred style first; empty without it."""
    found = [
        Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if Path(name).suffix.lower() in _SUFFIXES
    ]
    return sorted(found, key=_rank)


def _rank(path: Path) -> tuple[int, bool, str]:
    name = path.name.casefold().replace("sansserif", "")
    # Simplified Chinese first for the Han characters that several languages share, as in PaddleX.
    is_chinese = "sanssc" in name or "cjksc" in name
    return sum(word in name for word in _UNWANTED), not is_chinese, str(path)
