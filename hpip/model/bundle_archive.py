# SPDX-License-Identifier: Apache-2.0
"""Reads the parts of a bundle, which is a zip file or a folder, without unpacking it.

The parts of a zip file are stored, not compressed, so that engines can map the weights.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hpip.errors import ModelFormatError, shorten

MANIFEST_NAME = "bundle.json"
BUNDLE_SUFFIX = ".hpip"
# A bundle has one part per segment of the model and four others.
_MOST_PARTS = 100
# The largest part that is read into memory; weights are mapped by the engines.
_MOST_READ_BYTES = 256 << 20
# A local file header: signature, then lengths of the name and of the extra field at its end.
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 1


@dataclass(frozen=True)
class BundlePart:
    """Where a part of a bundle is.

    Attributes:
        file: the file that holds it, absolute and without symbolic links.
        start: its first byte in the file.
        size_bytes: its size.
    """

    file: Path
    start: int
    size_bytes: int


@dataclass(frozen=True)
class BundleArchive:
    """The parts of a bundle by name; see `open_archive`.

    Attributes:
        path: the bundle.
        parts: all parts; names have no folder.
    """

    path: Path
    parts: Mapping[str, BundlePart]

    def part(self, name: str) -> BundlePart:
        """A part.

        Raises:
            ModelFormatError: the bundle does not have it.
        """
        if name not in self.parts:
            raise damaged(self.path, name, "it is missing")
        return self.parts[name]

    def read(self, name: str) -> bytes:
        """The content of a part.

        Raises:
            ModelFormatError: it is missing, too large for memory, or can't be read.
        """
        part = self.part(name)
        if part.size_bytes > _MOST_READ_BYTES:
            raise damaged(self.path, name, f"expected at most {_MOST_READ_BYTES} bytes")
        try:
            with part.file.open("rb") as stream:
                stream.seek(part.start)
                data = stream.read(part.size_bytes)
        except OSError as error:
            raise damaged(self.path, name, str(error)) from error
        if len(data) != part.size_bytes:
            raise damaged(self.path, name, f"it ends after {len(data)} bytes")
        return data


def is_bundle(path: Path) -> bool:
    """Whether a path is meant as a bundle: a file, or a folder with a manifest."""
    return path.is_file() or (path / MANIFEST_NAME).is_file()


def damaged(path: Path, part: str, reason: str) -> ModelFormatError:
    """The error for a part of a bundle that can't be used."""
    return ModelFormatError(
        f"bundle {path}, {part}: {reason}. Copy the bundle again, or write it again with "
        "`hpip export`."
    )


def open_archive(path: Path) -> BundleArchive:
    """Find the parts of a bundle; none is read.

    Args:
        path: absolute path of a zip file or a folder.

    Raises:
        ModelFormatError: the file is no zip file, or has parts that are compressed, encrypted,
            outside of the file, of the same name, or in folders.
    """
    parts = _folder_parts(path) if path.is_dir() else _zip_parts(path)
    if MANIFEST_NAME not in parts:
        raise ModelFormatError(
            f"{path}: expected a bundle of `hpip export`, or a model directory; received a "
            f"{'folder' if path.is_dir() else 'zip file'} without {MANIFEST_NAME}."
        )
    return BundleArchive(path, parts)


def _folder_parts(folder: Path) -> dict[str, BundlePart]:
    try:
        # Links are followed, as in the cache of a model hub.
        return {
            file.name: BundlePart(file.resolve(), 0, file.stat().st_size)
            for file in folder.iterdir()
            if file.is_file()
        }
    except OSError as error:
        raise ModelFormatError(f"the bundle {folder} can't be read: {error}") from error


def _zip_parts(path: Path) -> dict[str, BundlePart]:
    file = path.resolve()
    parts: dict[str, BundlePart] = {}
    try:
        with zipfile.ZipFile(file) as archive, file.open("rb") as stream:
            size_bytes = os.fstat(stream.fileno()).st_size
            for info in archive.infolist():
                _check_entry(path, info, known=parts)
                start = _data_start(path, info, stream)
                if start + info.file_size > size_bytes:
                    raise damaged(path, info.filename, "it is not within the file")
                parts[info.filename] = BundlePart(file, start, info.file_size)
    # zipfile lets through what damaged fields lead to.
    except (
        *(zipfile.BadZipFile, OSError, EOFError, ValueError, struct.error),
        *(NotImplementedError, OverflowError, UnicodeError),
    ) as error:
        if isinstance(error, ModelFormatError):
            raise
        raise ModelFormatError(
            f"{path}: expected a bundle of `hpip export`, or a model directory; received a file "
            f"that is damaged, truncated or of another kind ({error}). Copy the bundle again."
        ) from error
    return parts


def _check_entry(path: Path, info: zipfile.ZipInfo, *, known: Mapping[str, BundlePart]) -> None:
    name = info.filename
    if len(known) >= _MOST_PARTS:
        raise damaged(path, name, f"expected at most {_MOST_PARTS} parts")
    if name in known:
        raise damaged(path, name, "there are two parts of this name")
    if not name or Path(name).name != name or "\\" in name:
        raise damaged(path, shorten(name), "expected a file name without folders")
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise damaged(path, name, "expected a part that is not compressed")
    if info.flag_bits & _ENCRYPTED:
        raise damaged(path, name, "expected a part that is not encrypted")


def _data_start(path: Path, info: zipfile.ZipInfo, stream: BinaryIO) -> int:
    """Position of an entry's data, which its local header tells."""
    stream.seek(info.header_offset)
    header = stream.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size:
        raise damaged(path, info.filename, "it is not within the file")
    signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
    if signature != _LOCAL_SIGNATURE:
        raise damaged(path, info.filename, "its header is damaged")
    return info.header_offset + _LOCAL_HEADER.size + int(name_bytes) + int(extra_bytes)
