# SPDX-License-Identifier: Apache-2.0
"""Names of output files, derived from the path or URL of an input."""

from __future__ import annotations

import re
from pathlib import PurePath, PurePosixPath
from urllib.parse import unquote, urlsplit

from hpip.common.files import WRITABLE_SUFFIXES

_URL_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_url(text: str) -> bool:
    """Whether the text begins with a URL scheme such as `http://`."""
    return _URL_SCHEME.match(text) is not None


def file_stem(input_path: str | None, page_index: int | None, *, nameless: str = "") -> str:
    """The input's file name without suffix, plus `_<page>` for a page: "photo", "paper_2".

    Args:
        input_path: a path or URL; None for an input without one, such as an array.
        page_index: page of a PDF or TIFF, from 0; None for anything else.
        nameless: replaces a missing name, as in `http://host/`; if it is empty too, the stem is
            empty.
    """
    stem = _path_of(input_path).stem or nameless
    return stem if not stem or page_index is None else f"{stem}_{page_index}"


def image_suffix(input_path: str | None) -> str:
    """The input's suffix if images can be written in that format, else `.png`."""
    suffix = _path_of(input_path).suffix
    return suffix if suffix.lower() in WRITABLE_SUFFIXES else ".png"


def _path_of(input_path: str | None) -> PurePath:
    """The path, without a URL's host and query; empty for None."""
    path = input_path or ""
    return PurePosixPath(unquote(urlsplit(path).path)) if is_url(path) else PurePath(path)
