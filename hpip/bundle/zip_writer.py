# SPDX-License-Identifier: Apache-2.0
"""Writes the zip file of a bundle: parts are stored, and equal parts give equal bytes."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

# Engines map the weights, so that they start at a page.
_PAGE_BYTES = 4096
_LOCAL_HEADER_BYTES = 30
# The extra field that Android's zipalign pads with: id, length, zeros.
_PADDING_ID = (0xD935).to_bytes(2, "little")
# The earliest that zip files can express; the time of writing would make each file different.
_TIME = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o100644 << 16
_UNIX = 3


def write_zip(target: Path, weights: Path, weights_name: str, parts: Mapping[str, bytes]) -> None:
    """Write a zip file with the weights first, and the other parts in their order.

    Raises:
        OSError: a file can't be read or written.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        info = _info(weights_name, weights.stat().st_size)
        info.extra = _padding(_LOCAL_HEADER_BYTES + len(weights_name.encode()))
        with weights.open("rb") as source, archive.open(info, "w") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        for name, data in parts.items():
            archive.writestr(_info(name, len(data)), data)


def _info(name: str, size_bytes: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.compress_type = zipfile.ZIP_STORED
    info.create_system = _UNIX
    info.external_attr = _READABLE
    info.file_size = size_bytes
    return info


def _padding(header_bytes: int) -> bytes:
    """An extra field after which the data starts at a page."""
    length = -(header_bytes + 4) % _PAGE_BYTES
    return _PADDING_ID + length.to_bytes(2, "little") + bytes(length)
