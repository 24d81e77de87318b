# SPDX-License-Identifier: Apache-2.0
"""Digests of whole files, remembered in the cache while a file is unchanged.

A digest of samples or of the modification time would not notice every new training of a model, so
all bytes are read: about 0.15 s for 200 MB on a CPU with SHA instructions, once per file.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from io import FileIO
from pathlib import Path

from hpip.common.cache import Cache, content_key

# Reading a smaller file takes no longer than looking for its digest in the cache.
_LEAST_REMEMBERED_BYTES = 1 << 20
# File systems count time in steps of up to 2 s (FAT), so that a later change within the same step
# would leave the same time.
_SETTLED_NS = 3_000_000_000
_BLOCK_BYTES = 1 << 20


def file_digest(path: Path, *, cache: Cache | None = None) -> str:
    """SHA-256 of all bytes of a file, from the cache if the file is unchanged.

    A file counts as unchanged if its resolved path, device, inode, size, time of modification and
    time of status change are the same. The last one can't be set by a program, so a file that was
    modified and given its old date is digested again. A digest is not remembered if the file
    changed while it was read, or less than 3 s before.

    Args:
        path: a regular file.
        cache: where digests are remembered; None for the user's cache. If it can't be written, the
            file is read at every call.

    Raises:
        OSError: the file can't be read.
    """
    return region_digest(path, 0, None, cache=cache)


def region_digest(
    path: Path, start: int, size_bytes: int | None, *, cache: Cache | None = None
) -> str:
    """SHA-256 of a part of a file, which is remembered like that of a whole file.

    Args:
        path: a regular file.
        start: the first byte.
        size_bytes: number of bytes; None for all up to the end.
        cache: see `file_digest`.

    Raises:
        OSError: the file can't be read.
    """
    # Not a memory map: reading one of a file that another process truncates ends this process.
    with path.open("rb", buffering=0) as stream:
        state = os.fstat(stream.fileno())
        is_whole = start == 0 and size_bytes in (None, state.st_size)
        region = "" if is_whole else f" {start} {size_bytes}"
        if state.st_size < _LEAST_REMEMBERED_BYTES:
            return _digest(stream, start, size_bytes)
        cache = cache or Cache()
        key = content_key("file digest", os.fsencode(path.resolve()), _identity(state) + region)
        if (known := cache.load(key)) is not None:
            if isinstance(known[1].get("sha256"), str):
                return str(known[1]["sha256"])
            cache.discard(key)
        settled = time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > _SETTLED_NS
        digest = _digest(stream, start, size_bytes)
        if settled and _identity(os.fstat(stream.fileno())) == _identity(state):
            title = f"{path.parent.name}, digest of {path.name}"
            cache.store_if_writable(key, {"title": title, "sha256": digest})
    return digest


def files_digest(paths: Iterable[Path], *, cache: Cache | None = None) -> str:
    """SHA-256 of the digests of several files, in their order; see `file_digest`."""
    digests = "\n".join(file_digest(path, cache=cache) for path in paths)
    return hashlib.sha256(digests.encode()).hexdigest()


def _identity(state: os.stat_result) -> str:
    return " ".join(
        str(number)
        for number in (
            state.st_dev,
            state.st_ino,
            state.st_size,
            state.st_mtime_ns,
            state.st_ctime_ns,
        )
    )


def _digest(stream: FileIO, start: int, size_bytes: int | None) -> str:
    total = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK_BYTES))
    stream.seek(start)
    while count := stream.readinto(block[:size_bytes]):
        total.update(block[:count])
        if size_bytes is not None:
            size_bytes -= count
    return total.hexdigest()
