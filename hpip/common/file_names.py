# SPDX-License-Identifier: Apache-2.0
"""Names of output files, derived from the path or URL of an input."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import threading
from pathlib import Path, PurePath, PurePosixPath
from urllib.parse import unquote, urlsplit

from hpip.common.files import WRITABLE_SUFFIXES
from hpip.common.processes import at_fork

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


class _Numbers:
    """Numbers that no other image of this process has, and a word that no other process has."""

    def __init__(self) -> None:
        self.start()
        at_fork(after_in_child=self.start)

    def start(self) -> None:
        """Begin anew, as another process."""
        self._process = secrets.token_hex(4)
        self._count = itertools.count()

    def take(self) -> str:
        """Later ones sort behind earlier ones."""
        return f"{self._process}_{next(self._count):06d}"


_numbers = _Numbers()


def unique_stem(stem: str) -> str:
    """A stem for an image without a name: "array_0_3f9c2a71_000012" is the process' 13th.

    Frames that are predicted one by one are all "array_0", and several processes may save into one
    folder.
    """
    return f"{stem}_{_numbers.take()}"


class TakenStems:
    """Which input each stem of a folder belongs to, so that another's file is not overwritten.

    Knows the last million files that this process saved. Safe to call from several threads.
    """

    _MOST = 1_000_000

    def __init__(self) -> None:
        # Hashes, since names of a million files would fill memory.
        self._owners: dict[int, int] = {}
        self._renew_lock()
        # Another thread may hold the lock when a process forks.
        at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def take(self, folder: Path, stem: str, owner: str) -> str:
        """`stem`, or `stem_2`, `stem_3`, ... where earlier ones are another input's.

        The same input gets the same stem again: its JSON and its drawing belong together, and it
        may be saved anew.
        """
        place, mine = os.path.abspath(folder), hash(owner)  # noqa: PTH100
        for number in itertools.count(1):
            name = stem if number == 1 else f"{stem}_{number}"
            # Some file systems do not tell upper from lower case.
            key = hash((place, name.casefold()))
            with self._lock:
                if self._owners.setdefault(key, mine) == mine:
                    if len(self._owners) > self._MOST:
                        del self._owners[next(iter(self._owners))]
                    return name
        raise AssertionError("the numbers have no end")


taken_stems = TakenStems()


def _path_of(input_path: str | None) -> PurePath:
    """The path, without a URL's host and query; empty for None."""
    path = input_path or ""
    return PurePosixPath(unquote(urlsplit(path).path)) if is_url(path) else PurePath(path)
