# SPDX-License-Identifier: Apache-2.0
"""Reads the size of an encoded image, and detects truncated files, without decoding pixels.

OpenCV 4 fills the missing part of a truncated JPEG with grey (5.0 rejects it), and allocates memory
for any size that a header declares. hpip walks the structure of the file first, to detect both
before it decodes anything.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hpip.errors import InvalidInputError
from hpip.inputs.rare_headers import read_rare_size
from hpip.types import AnyArray

_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])")
# Markers without a length field: start and end of image, restarts and TEM.
_JPEG_BARE_MARKERS = frozenset(range(0xD0, 0xDA)) | {0x01}
_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_START_OF_SCAN = 0xDA
_JPEG_JFIF, _JPEG_EXIF, _JPEG_ADOBE = 0xE0, 0xE1, 0xEE
_JPEG_SCAN_MARKER = b"\xff\xda"
# Encoders write about ten scans. An empty scan takes a few bytes of the file, but 20 ms of decoding
# for an image of 64 megapixels.
_JPEG_MAX_SCANS = 100
_JPEG_END_OF_IMAGE = b"\xff\xd9"

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Includes the signed types, as libtiff does; negative values are read as very large ones.
_TIFF_BYTES_PER_VALUE = {1: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4, 13: 4, 16: 8, 17: 8, 18: 8}
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 322, 323
# Tags of (offsets, byte counts): of strips and of tiles.
_TIFF_DATA_TAGS = ((273, 279), (324, 325))
_TIFF_SIZE_TAGS = {_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT}
_TIFF_TAGS = frozenset(_TIFF_SIZE_TAGS.union(*_TIFF_DATA_TAGS))
# libtiff used to count directories in 16 bits. A malicious file can link millions of them.
_TIFF_MAX_PAGES = 65535
# A regular file's fields are read about once; in a malicious one, all pages share a huge field.
_TIFF_MAX_READS_PER_BYTE = 16


@dataclass(frozen=True)
class ImageHeader:
    """Format, size and pages of an encoded image.

    Attributes:
        kind: format: "JPEG", "PNG", "WebP", "BMP", "TIFF" or one of `rare_headers`; "" for any
            other, which OpenCV may support.
        page_hws: (height, width) of every page as stored, before EXIF rotation; empty for an
            unknown format.
        tile_hws: (height, width) of the tiles of every tiled page: decoders allocate whole tiles,
            even if the page is smaller.
        tiff_page_offsets: offset of every page's directory; empty for other formats than TIFF.
        is_plain_jpeg: True for an 8-bit YCbCr JFIF file without EXIF and Adobe segments, which
            could declare a rotation or another colour space.
    """

    kind: str
    page_hws: tuple[tuple[int, int], ...] = ()
    tile_hws: tuple[tuple[int, int], ...] = ()
    tiff_page_offsets: tuple[int, ...] = ()
    is_plain_jpeg: bool = False


def read_header(data: bytes, name: str) -> ImageHeader:
    """Read the header of an encoded image, and check that the file is complete.

    Args:
        data: the encoded file.
        name: name of the image in error messages.

    Raises:
        InvalidInputError: the file is empty, truncated, damaged or of zero size.
    """
    if not data:
        raise InvalidInputError(
            f"{name}: the file is empty (0 bytes); expected an encoded image. Provide it again."
        )
    header = _reader_of(data)(data, name)
    for height, width in header.page_hws:
        if height < 1 or width < 1:
            raise InvalidInputError(
                f"{name}: expected at least 1 x 1 pixels; the {header.kind} header declares"
                f" {width} x {height} pixels. Export the image again."
            )
    return header


def truncated(name: str, kind: str, what: str) -> InvalidInputError:
    """The error for an incomplete file."""
    return InvalidInputError(
        f"{name}: the {kind} file is truncated or damaged: {what}. Provide a complete copy of the"
        " file."
    )


def _reader_of(data: bytes) -> Callable[[bytes, str], ImageHeader]:
    if data[:3] == b"\xff\xd8\xff":
        return _read_jpeg
    if data[:8] == _PNG_SIGNATURE:
        return _read_png
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _read_webp
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _read_tiff
    if data[:2] == b"BM":
        return _read_bmp
    return _read_other


def _read_jpeg(data: bytes, name: str) -> ImageHeader:
    size_hw: tuple[int, int] | None = None
    says_jfif, says_more, samples = False, False, b""
    position = 2
    while True:
        # Bytes between segments are skipped, as libjpeg does.
        match = _JPEG_MARKER.search(data, position)
        if match is None:
            raise truncated(name, "JPEG", "it ends before its image data")
        marker, position = match.group(1)[0], match.end()
        if marker in _JPEG_BARE_MARKERS:
            continue
        if position + 2 > len(data):
            raise truncated(name, "JPEG", "it ends inside the length of a segment")
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2 or position + length > len(data):
            raise truncated(name, "JPEG", f"it ends inside segment 0x{marker:02X}")
        # If there are several frames, libjpeg uses the first one.
        if marker in _JPEG_FRAME_MARKERS and length >= 8 and size_hw is None:
            size_hw = struct.unpack_from(">HH", data, position + 3)
            samples = data[position + 2 : position + 3] + data[position + 7 : position + 8]
        says_jfif |= marker == _JPEG_JFIF and data.startswith(b"JFIF\0", position + 2)
        says_more |= marker in (_JPEG_EXIF, _JPEG_ADOBE)
        position += length
        if marker == _JPEG_START_OF_SCAN:
            break
    # Entropy-coded data never contains this marker, tables hardly ever; thumbnails precede it.
    scans = 1 + data.count(_JPEG_SCAN_MARKER, position)
    if scans > _JPEG_MAX_SCANS:
        raise InvalidInputError(
            f"{name}: expected at most {_JPEG_MAX_SCANS} scans, because decoding a scan takes as"
            f" long as decoding an image; the JPEG file has {scans} scans. Save it again as a"
            " baseline JPEG."
        )
    # Entropy-coded data never contains the two bytes of this marker. Parsing the later scans of a
    # progressive file would detect little more, and took half as long as decoding (200 ms for
    # 6 MB).
    if data.rfind(_JPEG_END_OF_IMAGE, position) < 0:
        raise truncated(name, "JPEG", "it ends before the end-of-image marker")
    if size_hw is None:
        raise truncated(name, "JPEG", "it has no frame header")
    is_plain = says_jfif and not says_more and samples == b"\x08\x03"
    return ImageHeader("JPEG", (size_hw,), is_plain_jpeg=is_plain)


def _read_png(data: bytes, name: str) -> ImageHeader:
    position = len(_PNG_SIGNATURE)
    size_hw: tuple[int, int] | None = None
    while True:
        if position + 12 > len(data):
            raise truncated(name, "PNG", "it ends before the IEND chunk")
        (length,) = struct.unpack_from(">I", data, position)
        chunk = data[position + 4 : position + 8]
        end = position + 8 + length
        if end + 4 > len(data):
            raise truncated(name, "PNG", f"it ends inside chunk {chunk!r} of {length} bytes")
        # An upper-case first letter marks a critical chunk, which decoders need.
        if chunk[:1].isupper():
            (checksum,) = struct.unpack_from(">I", data, end)
            if zlib.crc32(memoryview(data)[position + 4 : end]) != checksum:
                raise truncated(name, "PNG", f"the checksum of chunk {chunk!r} is wrong")
        if chunk == b"IHDR" and length >= 8 and size_hw is None:
            width, height = struct.unpack_from(">II", data, position + 8)
            size_hw = height, width
        if chunk == b"IEND":
            break
        position = end + 4
    if size_hw is None:
        raise truncated(name, "PNG", "it has no IHDR chunk")
    return ImageHeader("PNG", (size_hw,))


def _read_webp(data: bytes, name: str) -> ImageHeader:
    (riff_bytes,) = struct.unpack_from("<I", data, 4)
    # Some encoders omit the padding byte of the last chunk.
    if riff_bytes + 8 > len(data) + 1 or len(data) < 30:
        raise truncated(
            name, "WebP", f"it has {len(data)} bytes, and its header declares {riff_bytes + 8}"
        )
    chunk = data[12:16]
    if chunk == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif chunk == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise truncated(name, "WebP", f"its first chunk is {chunk!r}, expected VP8X, VP8L or VP8")
    return ImageHeader("WebP", ((height, width),))


def _read_bmp(data: bytes, name: str) -> ImageHeader:
    if len(data) < 26:
        raise truncated(name, "BMP", "it ends inside its header")
    pixel_offset, header_bytes = struct.unpack_from("<II", data, 10)
    if header_bytes == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    elif len(data) >= 34:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    else:
        raise truncated(name, "BMP", "it ends inside its header")
    # A negative height means top-down row order. The file size in the header is often wrong, so the
    # size of uncompressed rows (compression 0 and 3) is computed instead.
    height = abs(height)
    expected_bytes = pixel_offset + (width * bits + 31) // 32 * 4 * height
    if compression in (0, 3) and expected_bytes > len(data):
        raise truncated(
            name, "BMP", f"it has {len(data)} bytes, and its rows require {expected_bytes}"
        )
    return ImageHeader("BMP", ((height, width),))


class _TiffReader:
    """Reads fields of a TIFF or BigTIFF file; a read past the end of the file raises an error."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self._name = name
        self._order = "<" if data[:2] == b"II" else ">"
        self.is_big = b"+" in data[2:4]
        self._offset_bytes = 8 if self.is_big else 4
        self._bytes_to_read = _TIFF_MAX_READS_PER_BYTE * len(data)

    def unsigned(self, position: int, size: int) -> int:
        """The unsigned integer in the `size` bytes at `position`."""
        return int(self.array(position, size, 1)[0])

    def array(self, position: int, size: int, count: int) -> AnyArray:
        """A view of `count` unsigned integers of `size` bytes each, starting at `position`.

        Raises:
            InvalidInputError: the range exceeds the file, or the same bytes were read too often.
        """
        end = position + size * count
        if end > len(self._data):
            raise truncated(
                self._name, "TIFF", f"it has {len(self._data)} bytes and refers to byte {end}"
            )
        self._bytes_to_read -= size * count
        if self._bytes_to_read < 0:
            raise truncated(self._name, "TIFF", "its pages refer to the same bytes too often")
        return np.frombuffer(self._data, f"{self._order}u{size}", count, position)

    def offset(self, position: int) -> int:
        """The file offset that is stored at `position`."""
        return self.unsigned(position, self._offset_bytes)

    def directory(self, position: int) -> tuple[dict[int, AnyArray], int]:
        """The fields of `_TIFF_TAGS` in the directory at `position`, and the next one's offset."""
        count_bytes, entry_bytes = (8, 20) if self.is_big else (2, 12)
        fields: dict[int, AnyArray] = {}
        seen = set()
        entries = position + count_bytes
        entries_end = entries + self.unsigned(position, count_bytes) * entry_bytes
        for entry in range(entries, entries_end, entry_bytes):
            tag, value_type = map(int, self.array(entry, 2, 2))
            size = _TIFF_BYTES_PER_VALUE.get(value_type)
            value_count = self.offset(entry + 4)
            # If a tag occurs twice, libtiff uses the first one.
            is_first = tag not in seen
            seen.add(tag)
            if tag not in _TIFF_TAGS or not is_first or size is None or value_count == 0:
                continue
            value = entry + 4 + self._offset_bytes
            if size * value_count > self._offset_bytes:
                value = self.offset(value)
            fields[tag] = self.array(value, size, value_count)
        return fields, self.offset(entries_end)


def _read_tiff(data: bytes, name: str) -> ImageHeader:
    reader = _TiffReader(data, name)
    size_by_offset: dict[int, tuple[int, int]] = {}
    tile_hws = []
    offset = reader.offset(8 if reader.is_big else 4)
    # In the files of some encoders, the last page refers to the first one.
    while offset and offset not in size_by_offset:
        page = len(size_by_offset)
        if page == _TIFF_MAX_PAGES:
            raise truncated(name, "TIFF", f"it has more than {_TIFF_MAX_PAGES} pages")
        fields, next_offset = reader.directory(offset)
        if _TIFF_WIDTH not in fields or _TIFF_HEIGHT not in fields:
            raise truncated(name, "TIFF", f"page {page} has no width or height")
        end = max(_tiff_data_end(fields, *tags) for tags in _TIFF_DATA_TAGS)
        if end > len(data):
            raise truncated(
                name, "TIFF", f"it has {len(data)} bytes, and page {page} ends at byte {end}"
            )
        if _TIFF_TILE_WIDTH in fields and _TIFF_TILE_HEIGHT in fields:
            tile = fields[_TIFF_TILE_HEIGHT][0], fields[_TIFF_TILE_WIDTH][0]
            tile_hws.append((int(tile[0]), int(tile[1])))
        size_by_offset[offset] = int(fields[_TIFF_HEIGHT][0]), int(fields[_TIFF_WIDTH][0])
        offset = next_offset
    if not size_by_offset:
        raise truncated(name, "TIFF", "it has no pages")
    return ImageHeader(
        "TIFF", tuple(size_by_offset.values()), tuple(tile_hws), tuple(size_by_offset)
    )


def _tiff_data_end(fields: dict[int, AnyArray], start_tag: int, count_tag: int) -> int:
    """End of the last strip or tile; 0 if the directory does not contain it."""
    if start_tag not in fields or count_tag not in fields:
        return 0
    starts, counts = fields[start_tag], fields[count_tag]
    common = min(len(starts), len(counts))
    # In floating point, because 64-bit sums in a malicious file overflow; exact for files below 9
    # petabytes.
    return int(np.max(starts[:common].astype(float) + counts[:common]))


def _read_other(data: bytes, name: str) -> ImageHeader:
    """Read the size only: OpenCV itself rejects truncated files of these formats."""
    found = read_rare_size(data, name)
    return ImageHeader("") if found is None else ImageHeader(found[0], (found[1],))
