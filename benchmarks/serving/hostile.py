# SPDX-License-Identifier: Apache-2.0
"""Small images and forms that would make a server allocate or compute too much."""

from __future__ import annotations

import struct
import zlib

SIDE = 20_000
# Character sets of Python, some with slow decoders; a server must not use whatever a form names.
CHARSETS = ("punycode", "idna", "utf-7", "utf-16", "latin-1", "unicode_escape", "rot13", "no-such")


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with these chunks and an IEND chunk."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in (*chunks, (b"IEND", b"")))


def png_header(width: int, height: int) -> tuple[bytes, bytes]:
    """The IHDR chunk of an 8-bit grey image."""
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)


def png_bomb(side: int) -> bytes:
    """A grey PNG of side x side pixels in a few hundred KB."""
    return png(png_header(side, side), (b"IDAT", zlib.compress(bytes((side + 1) * side), 9)))


def jpeg_of_scans(count: int, side: int = 64) -> bytes:
    """A progressive grey JPEG with many empty scans, each of which takes time to decode."""

    def segment(marker: int, data: bytes) -> bytes:
        return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data

    table = bytes([1] + [0] * 15)
    head = b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64)
    head += segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\x01\x11\x00")
    head += segment(0xC4, b"\x00" + table + b"\x00") + segment(0xC4, b"\x10" + table + b"\x00")
    scan = segment(0xDA, b"\x01\x01\x00\x01\x3f\x00") + b"\x00" * ((side // 8) ** 2 // 8)
    return head + scan * count + b"\xff\xd9"


def jpeg_2000(side: int, tile: int, components: int = 1) -> bytes:
    """The head of a JPEG 2000 codestream."""
    size = struct.pack(">8IH", side, side, 0, 0, tile, tile, 0, 0, components)
    head = b"\xff\x4f\xff\x51" + struct.pack(">HH", 38 + 3 * components, 0) + size
    return head + b"\x07\x01\x01" * components


def images() -> dict[str, bytes]:
    """Hostile images by name; a server must respond to each with 422."""
    size = b"%d %d\n" % (SIDE, SIDE)
    avif = struct.pack(">I4sIII", 20, b"ispe", 0, SIDE, SIDE)
    for name, before in ((b"ipco", b""), (b"iprp", b""), (b"meta", bytes(4))):
        avif = struct.pack(">I4s", 8 + len(before) + len(avif), name) + before + avif
    return {
        "PNG of two sizes": png(png_header(SIDE, SIDE), (b"IDAT", b""), png_header(1, 1)),
        "JPEG of many scans": jpeg_of_scans(5000),
        "JPEG 2000, large": jpeg_2000(SIDE, 1 << 20),
        "JPEG 2000 of many tiles": jpeg_2000(SIDE, 16, 4),
        "AVIF, large": struct.pack(">I", 16) + b"ftypavif\0\0\0\0" + avif,
        "PBM with zeros before": b"P4 0000020000 0000020000\n" + bytes(1000),
        "PPM of blanks": b"P6" + b" " * 50_000 + b"x",
        "PFM, large": b"PF\n" + size + b"-1.0\n",
        "HDR, large": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 20000 +X 20000\n",
        "GIF, large": b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0),
    }
