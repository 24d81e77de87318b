# SPDX-License-Identifier: Apache-2.0
"""Reads the size of images in rarer formats, with the same result as OpenCV's decoders.

Pillow and imagesize support some of these formats, but may read another size than the decoder: both
use the `ihdr` box of a JPEG 2000 file, whereas OpenJPEG allocates the size in the codestream.
Neither supports Radiance HDR, OpenEXR and PAM, and OpenCV ends comments in netpbm files at another
character. hpip rejects an ambiguous header.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from hpip.errors import InvalidInputError

Size = tuple[int, int]

_JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_JP2_CODESTREAM = b"\xff\x4f\xff\x51"
# OpenJPEG allocates a kilobyte per component and tile before it decodes any of them.
_JP2_MAX_COMPONENTS, _JP2_MAX_TILES = 4, 4096
_EXR_SIGNATURE = b"\x76\x2f\x31\x01"
_EXR_MAX_ATTRIBUTES = 1000
_MAX_BOXES = 10_000
_BOXES_OF_BOXES = frozenset(
    {b"meta", b"iprp", b"ipco", b"moov", b"trak", b"mdia", b"minf", b"stbl"}
)
# Whitespace and comments before a number. The pattern is unambiguous, so it does not backtrack.
_PNM_GAP = rb"(?:\s|#[^\n\r]*[\n\r])*"
# OpenCV skips one character after the width, whatever it is.
_PNM_SIZE = re.compile(rb"P[1-6](?=\s)" + _PNM_GAP + rb"(\d+)[^\d]" + _PNM_GAP + rb"(\d+)")
_PFM_SIZE = re.compile(rb"P[Ff]\n\+?(\d+)\s\+?(\d+)\s")
_PAM_WIDTH, _PAM_HEIGHT = (re.compile(rb"%s\s+(\d+)" % name) for name in (b"WIDTH", b"HEIGHT"))
_HDR_SIZE = re.compile(rb"FORMAT=32-bit_rle_rgbe\n\n-Y\s+(\d+)\s+\+X\s+(\d+)")
_TEXT_HEADER_BYTES = 64 * 1024
# Longer numbers exceed every size limit, so their exact value does not matter.
_MOST_DIGITS = 10


def read_rare_size(data: bytes, name: str) -> tuple[str, Size] | None:
    """Return the format and (height, width) of an image; None for any other format.

    Raises:
        InvalidInputError: the header does not contain the size, or is ambiguous.
    """
    kind = _kind_of(data)
    if kind is None:
        return None
    size_hw = _READERS[kind](data)
    if size_hw is None:
        raise InvalidInputError(
            f"{name}: the {kind} file is truncated or damaged: its header does not contain a valid"
            " size. Provide a complete copy of the file, or save it as PNG."
        )
    return kind, size_hw


def _kind_of(data: bytes) -> str | None:
    if data.startswith((_JP2_SIGNATURE, _JP2_CODESTREAM)):
        return "JPEG 2000"
    if data[4:8] == b"ftyp":
        return "AVIF or HEIC"
    if data.startswith((b"#?RADIANCE", b"#?RGBE")):
        return "Radiance HDR"
    if data.startswith(_EXR_SIGNATURE):
        return "OpenEXR"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"\x59\xa6\x6a\x95"):
        return "Sun raster"
    if data[:1] == b"P" and data[2:3].isspace():
        return {b"7": "PAM", b"F": "PFM", b"f": "PFM"}.get(
            data[1:2], "PNM" if data[1:2] in b"123456" else None
        )
    return None


def _number(digits: bytes) -> int:
    digits = digits.lstrip(b"0") or b"0"
    return int(digits) if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS


def _gif(data: bytes) -> Size | None:
    if len(data) < 10:
        return None
    width, height = struct.unpack_from("<HH", data, 6)
    return height, width


def _sun_raster(data: bytes) -> Size | None:
    if len(data) < 12:
        return None
    width, height = struct.unpack_from(">II", data, 4)
    return height, width


def _pnm(data: bytes) -> Size | None:
    match = _PNM_SIZE.match(data)
    return match and (_number(match[2]), _number(match[1]))


def _pfm(data: bytes) -> Size | None:
    match = _PFM_SIZE.match(data)
    return match and (_number(match[2]), _number(match[1]))


def _pam(data: bytes) -> Size | None:
    end = data.find(b"ENDHDR", 0, _TEXT_HEADER_BYTES)
    widths = [_number(digits) for digits in _PAM_WIDTH.findall(data, 0, max(0, end))]
    heights = [_number(digits) for digits in _PAM_HEIGHT.findall(data, 0, max(0, end))]
    # If a field occurs twice, use the larger value: the decoder never allocates more.
    return (max(heights), max(widths)) if widths and heights else None


def _radiance(data: bytes) -> Size | None:
    match = _HDR_SIZE.search(data, 0, _TEXT_HEADER_BYTES)
    return match and (_number(match[1]), _number(match[2]))


def _jpeg_2000(data: bytes) -> Size | None:
    start = 0
    if not data.startswith(_JP2_CODESTREAM):
        boxes = ((kind, begin) for kind, begin, _ in _boxes(data, 0, len(data)))
        start = next((begin for kind, begin in boxes if kind == b"jp2c"), len(data))
    if data[start : start + 4] != _JP2_CODESTREAM or len(data) < start + 42:
        return None
    right, bottom, left, top, *tile, components = struct.unpack_from(">8IH", data, start + 8)
    tile_width, tile_height, tile_left, tile_top = tile
    if not (tile_width and tile_height) or not 0 < components <= _JP2_MAX_COMPONENTS:
        return None
    columns = -(-(right - tile_left) // tile_width)
    rows = -(-(bottom - tile_top) // tile_height)
    if columns * rows > _JP2_MAX_TILES:
        return None
    return max(0, bottom - top), max(0, right - left)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, content start and content end of the ISO boxes in a part of a file."""
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        (size,) = struct.unpack_from(">I", data, start)
        kind, head = data[start + 4 : start + 8], 8
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        elif size == 0:
            size = end - start
        if size < head:
            return
        yield kind, start + head, min(end, start + size)
        start += size


def _iso_media(data: bytes) -> Size | None:
    """The largest size of all images and tracks in the file, as declared."""
    sizes: list[Size] = []
    waiting = [(0, len(data))]
    for start, end in waiting:  # the list grows during the iteration
        for kind, begin, stop in _boxes(data, start, end):
            if kind in _BOXES_OF_BOXES and len(waiting) < _MAX_BOXES:
                waiting.append((begin + 4 * (kind == b"meta"), stop))
            elif kind == b"ispe" and stop - begin >= 12:
                width, height = struct.unpack_from(">II", data, begin + 4)
                sizes.append((height, width))
            elif kind == b"tkhd" and stop - begin >= 84:
                # 16.16 fixed-point numbers at the end of the box.
                width, height = struct.unpack_from(">II", data, stop - 8)
                sizes.append((height >> 16, width >> 16))
    return max(sizes, key=lambda hw: hw[0] * hw[1], default=None)


def _open_exr(data: bytes) -> Size | None:
    position = 8
    for _ in range(_EXR_MAX_ATTRIBUTES):
        name_end = data.find(b"\0", position, position + 256)
        type_end = data.find(b"\0", name_end + 1, name_end + 257)
        if name_end <= position or type_end < 0 or type_end + 5 > len(data):
            return None
        (size,) = struct.unpack_from("<I", data, type_end + 1)
        value = type_end + 5
        if data[position:name_end] == b"dataWindow":
            if size != 16 or value + 16 > len(data):
                return None
            left, top, right, bottom = struct.unpack_from("<4i", data, value)
            return max(0, bottom - top + 1), max(0, right - left + 1)
        position = value + size
    return None


_READERS = {
    "JPEG 2000": _jpeg_2000,
    "AVIF or HEIC": _iso_media,
    "Radiance HDR": _radiance,
    "OpenEXR": _open_exr,
    "GIF": _gif,
    "Sun raster": _sun_raster,
    "PAM": _pam,
    "PFM": _pfm,
    "PNM": _pnm,
}
