# SPDX-License-Identifier: Apache-2.0
"""What the path or URL of an input says about the names of files that are written for it."""

from __future__ import annotations

import re
from pathlib import PurePath, PurePosixPath
from urllib.parse import unquote, urlsplit

from hpip.common.files import PICTURE_SUFFIXES

_URL_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_url(text: str) -> bool:
    """Whether it begins with a scheme, as `http://` is one."""
    return _URL_SCHEME.match(text) is not None


def file_stem(input_path: str | None, page_index: int | None, *, nameless: str = "") -> str:
    """The input's file name without suffix, and `_<page>` for a page: "photo", "paper_2".

    Args:
        input_path: a path or URL; None for an input that came without one.
        page_index: page of a PDF or TIFF, from 0; None for anything else.
        nameless: stands in for a name that is not there, as in `http://host/`; where it is empty
            too, so is the stem.
    """
    stem = _path_of(input_path).stem or nameless
    return stem if not stem or page_index is None else f"{stem}_{page_index}"


def picture_suffix(input_path: str | None) -> str:
    """The input's own suffix where pictures can be written under it, else `.png`."""
    suffix = _path_of(input_path).suffix
    return suffix if suffix.lower() in PICTURE_SUFFIXES else ".png"


def _path_of(input_path: str | None) -> PurePath:
    """The path without a URL's host and query; empty if there is none."""
    path = input_path or ""
    return PurePosixPath(unquote(urlsplit(path).path)) if is_url(path) else PurePath(path)
