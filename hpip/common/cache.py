# SPDX-License-Identifier: Apache-2.0
"""A content-addressed cache on disk, safe for several processes and for deletion at any time.

Each entry is a folder named by a key over everything that its content depends on, so that an entry
is never stale. Entries are written to a temporary folder and renamed. Damaged entries are rebuilt.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpip.common.files import remove_path

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "HPIP_CACHE_DIR"
_INDEX = "index.json"
_BUILDS = "engines"


@dataclass(frozen=True)
class CacheEntry:
    """One entry, as shown by `hpip cache list`."""

    key: str
    title: str
    size_bytes: int
    folder: Path


def default_cache_dir() -> Path:
    """The cache folder: HPIP_CACHE_DIR, else the user's, else a temporary one of this process.

    A relative HPIP_CACHE_DIR is resolved once, against the folder of the first use, and written
    back to the environment, so that child processes and a later change of folder keep it. A user
    without a home folder gets a temporary folder, which is removed at exit, and one warning.
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        absolute = Path(chosen).expanduser().absolute()
        os.environ[CACHE_VARIABLE] = str(absolute)
        return absolute
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification has relative paths ignored.
    if base.is_absolute():
        return base / "hpip"
    try:
        return Path.home() / ".cache" / "hpip"
    except RuntimeError as error:
        return _homeless_cache_dir(str(error))


@functools.cache
def _homeless_cache_dir(reason: str) -> Path:
    folder = _temporary_folder()
    logger.warning(
        "no cache folder (%s): hpip keeps its cache in %s until this process ends. Set %s to a "
        "folder that can be written.",
        reason,
        folder,
        CACHE_VARIABLE,
    )
    os.environ[CACHE_VARIABLE] = str(folder)
    return folder


def engine_builds_dir() -> Path:
    """Folder for the engines' builds (compiled models) for this machine."""
    return default_cache_dir() / _BUILDS


def content_key(*parts: bytes | str) -> str:
    """Hash of the parts; equal only if all parts are equal."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


class Cache:
    """The entries under one folder; every method may be called by several processes at once.

    The engines' builds are stored beside the entries, and listed and cleared with them.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.base = root or default_cache_dir()
        self.root = self.base / "graph"
        self._private: Path | None = None

    def load(self, key: str) -> tuple[Path, dict[str, Any]] | None:
        """Folder and record of an entry, or None if it is missing or damaged."""
        for base in filter(None, (self.root, self._private)):
            folder = base / key
            if not (folder / _INDEX).is_file():
                continue
            try:
                index = json.loads((folder / _INDEX).read_bytes())
                whole = all(_digest(folder / name) == sum_ for name, sum_ in index["files"].items())
                if whole and isinstance(index["record"], dict):
                    return folder, index["record"]
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                logger.debug("cache entry %s can't be read: %s", folder, error)
            logger.warning("cache entry %s is damaged; it is rebuilt", folder)
            self.discard(key)
        return None

    def discard(self, key: str) -> None:
        """Remove an entry; does nothing if it does not exist."""
        for base in filter(None, (self.root, self._private)):
            remove_path(base / key)

    def store(self, key: str, record: Mapping[str, Any], files: Mapping[str, bytes]) -> Path:
        """Write an entry and return its folder.

        If the cache can't be written (full disk, read-only, not a folder), the entry goes to a
        private temporary folder that is deleted when the process exits: the next start is slower.
        If that can't be written either, a record without files is not stored.

        Raises:
            OSError: neither folder can be written.
        """
        try:
            return _write_entry(self.root, key, record, files)
        except OSError as error:
            logger.warning(
                "the cache %s can't be written, so the next start is slower: %s. Set %s to a"
                " writable folder.",
                self.root,
                error.strerror or error,
                CACHE_VARIABLE,
            )
        try:
            if self._private is None:
                self._private = _temporary_folder()
            return _write_entry(self._private, key, record, files)
        except OSError:
            if files:
                raise
            return self.root / key

    def store_if_writable(self, key: str, record: Mapping[str, Any]) -> None:
        """Write an entry without files; does nothing if the cache can't be written."""
        with contextlib.suppress(OSError):
            _write_entry(self.root, key, record, {})

    def entries(self) -> list[CacheEntry]:
        """Undamaged entries, sorted by title."""
        found = []
        for folder in sorted(self.root.glob("*")) if self.root.is_dir() else ():
            if folder.name.startswith(".") or (loaded := self.load(folder.name)) is None:
                continue
            title = str(loaded[1].get("title", ""))
            found.append(CacheEntry(folder.name, title, _size_bytes(folder), folder))
        for folder in sorted((self.base / _BUILDS).glob("[!.]*")):
            title = "built by an engine"
            found.append(CacheEntry(folder.name, title, _size_bytes(folder), folder))
        return sorted(found, key=lambda entry: entry.title)

    def clear(self) -> int:
        """Remove all entries; returns the number of bytes freed."""
        freed = 0
        for folder in (self.root, self.base / _BUILDS):
            if folder.is_dir():
                freed += _size_bytes(folder)
                shutil.rmtree(folder)
        return freed


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _write_entry(
    root: Path, key: str, record: Mapping[str, Any], files: Mapping[str, bytes]
) -> Path:
    partial = root / f".{key}-{secrets.token_hex(8)}"
    folder = root / key
    try:
        partial.mkdir(parents=True)
        for name, data in files.items():
            (partial / name).write_bytes(data)
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        index = {"files": sums, "record": dict(record)}
        (partial / _INDEX).write_text(json.dumps(index, indent=1))
        try:
            partial.replace(folder)
        except OSError:
            # Another process was first, and its entry has the same content; or something that is
            # no entry is in the way.
            if not (folder / _INDEX).is_file():
                remove_path(folder)
                partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _temporary_folder() -> Path:
    """A folder that is deleted when this process exits, but not when a forked child does."""
    folder = Path(tempfile.mkdtemp(prefix="hpip-"))
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def _digest(path: Path) -> str:
    if not path.is_file():  # reading a pipe would wait for ever
        raise ValueError(f"{path.name} is not a regular file")
    return hashlib.sha256(path.read_bytes()).hexdigest()
