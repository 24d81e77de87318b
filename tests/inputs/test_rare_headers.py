# SPDX-License-Identifier: Apache-2.0
"""Sizes are known before anything is decoded, as the decoders themselves read them."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hpip.errors import InvalidInputError
from hpip.inputs.decode import EncodedImage, decode_image
from hpip.inputs.image_headers import read_header

SIDE = 20_000
LIMIT = 64_000_000


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in (*chunks, (b"IEND", b"")))


def ihdr(width: int, height: int) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)


def tiff(*fields: tuple[int, int, int]) -> bytes:
    """Tag, type and value of each field of one page; the first of a tag stays the first."""
    entries = b"".join(
        struct.pack("<HHI", tag, kind, 1) + struct.pack("<I" if kind in (4, 9) else "<Hxx", value)
        for tag, kind, value in sorted(fields, key=lambda one: one[0])
    )
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + bytes(4)


def jpeg_2000(width: int, height: int, *, tile: int = 1 << 20, components: int = 1) -> bytes:
    size = struct.pack(">8IH", width, height, 0, 0, tile, tile, 0, 0, components)
    head = b"\xff\x4f\xff\x51" + struct.pack(">HH", 38 + 3 * components, 0) + size
    return head + b"\x07\x01\x01" * components


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def iso_media(*sizes: tuple[int, int], brand: bytes = b"avif") -> bytes:
    ispe = b"".join(box(b"ispe", struct.pack(">III", 0, *size)) for size in sizes)
    meta = box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", ispe)))
    return box(b"ftyp", brand + bytes(4) + brand) + meta


def jp2(ihdr_side: int, codestream: bytes) -> bytes:
    header = box(b"ihdr", struct.pack(">IIHBBBB", ihdr_side, ihdr_side, 1, 7, 7, 0, 0))
    signature = box(b"jP  ", b"\r\n\x87\n")
    return signature + box(b"jp2h", header) + struct.pack(">I", 0) + b"jp2c" + codestream


EXR = (
    b"\x76\x2f\x31\x01\x02\0\0\0"
    b"channels\0chlist\0" + struct.pack("<I", 1) + b"\0"
    b"dataWindow\0box2i\0" + struct.pack("<I4i", 16, -10, -10, SIDE - 11, SIDE - 11) + b"\0"
)
SIZE = b"%d %d\n" % (SIDE, SIDE)
LARGE = {
    "PNG with two IHDR": png(ihdr(SIDE, SIDE), (b"IDAT", b""), ihdr(1, 1)),
    "TIFF with two widths": tiff((256, 4, SIDE), (256, 4, 10), (257, 4, SIDE), (257, 4, 10)),
    "TIFF of a signed type": tiff((256, 9, SIDE), (256, 4, 10), (257, 9, SIDE), (257, 4, 10)),
    "TIFF of large tiles": tiff((256, 4, 1), (257, 4, 1), (322, 4, SIDE), (323, 4, SIDE)),
    "PBM with zeros before": b"P4 0000020000 0000020000\n" + bytes(9),
    "PBM with a comment to CR": b"P4 #c\r20000 20000\n10 10\n",
    "PGM with a comment after the width": b"P5 20000#30000\n255\n1 1\n",
    "PPM of digits": b"P6 " + b"9" * 5000 + b" 1\n255\n",
    "PAM": b"P7\nWIDTH 20000\nHEIGHT 20000\nDEPTH 1\nMAXVAL 255\nENDHDR\n",
    "PAM with two widths": b"P7\nWIDTH 1\nWIDTH 20000\nHEIGHT 20000\nDEPTH 1\nENDHDR\n",
    "PFM": b"PF\n" + SIZE + b"-1.0\n",
    "HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 20000 +X 20000\n",
    "EXR": EXR,
    "JPEG 2000 codestream": jpeg_2000(SIDE, SIDE),
    "JP2 whose box says little": jp2(1, jpeg_2000(SIDE, SIDE)),
    "AVIF": iso_media((SIDE, SIDE)),
    "AVIF with two sizes": iso_media((1, 1), (SIDE, SIDE), (2, 2)),
    "HEIC": iso_media((SIDE, SIDE), brand=b"heic"),
    "GIF": b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0),
    "Sun raster": struct.pack(">8I", 0x59A66A95, SIDE, SIDE, 8, 0, 2, 0, 0),
}


@pytest.mark.parametrize("what", LARGE)
def test_large_pictures_are_refused_by_their_header(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(InvalidInputError, match=f"at most {LIMIT} pixels"):
        decode_image(LARGE[what], max_pixels=LIMIT)


@pytest.mark.parametrize("what", LARGE)
def test_what_is_left_of_a_header_is_refused_or_decoded(what: str) -> None:
    data = LARGE[what]
    for end in range(1, len(data), max(1, len(data) // 40)):
        with contextlib.suppress(InvalidInputError):
            decode_image(data[:end], max_pixels=LIMIT, sized_only=True)


@pytest.mark.parametrize(
    "data",
    [
        jpeg_2000(SIDE, SIDE, tile=16),
        jpeg_2000(100, 100, components=16_384),
        jpeg_2000(100, 100, tile=0),
        jp2(100, b""),
        iso_media(),
        b"PF\nx 5\n-1\n",
        b"P6" + b" " * 100_000 + b"x",
        b"P6\n" + b"#\n" * 50_000 + b"x",
        b"P7\nENDHDR\n",
        b"#?RGBE\n\n-Y 5 +X 5\n",
        b"\x76\x2f\x31\x01" + b"a" * 1000,
    ],
)
def test_headers_without_a_size_are_refused(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(InvalidInputError, match="does not contain a valid size"):
        decode_image(data)


@pytest.mark.parametrize("suffix", [".pgm", ".ppm", ".pbm", ".pam", ".pfm", ".hdr", ".ras", ".jp2"])
def test_sizes_are_the_decoders(suffix: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    if suffix in (".pgm", ".pbm"):
        image = image[:, :, 0]
    if suffix in (".pfm", ".hdr"):
        image = image.astype(np.float32)
    data = cv2.imencode(suffix, image)[1].tobytes()
    assert read_header(data, "x").page_hws == ((37, 53),)
    assert EncodedImage(data, "x", sized_only=True).decode().shape == (37, 53, 3)


@pytest.mark.parametrize("kind", ["GIF", "AVIF", "JPEG2000", "PPM"])
def test_sizes_are_those_of_other_writers(kind: str) -> None:
    stream = io.BytesIO()
    try:
        Image.new("RGB", (53, 37)).save(stream, kind)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow writes no {kind}")
    assert read_header(stream.getvalue(), "x").page_hws == ((37, 53),)


def test_unknown_formats_are_refused_where_sizes_must_be_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(InvalidInputError, match="not an image"):
        decode_image(b"\xff\x0a jpeg xl", sized_only=True)


def progressive(scans: int) -> bytes:
    """A grey progressive JPEG of 8 x 8 pixels with so many scans of nothing."""

    def segment(marker: int, data: bytes) -> bytes:
        return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data

    table = bytes([1] + [0] * 15)
    head = b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64)
    head += segment(0xC2, struct.pack(">BHHB", 8, 8, 8, 1) + b"\x01\x11\x00")
    head += segment(0xC4, b"\x00" + table + b"\x00") + segment(0xC4, b"\x10" + table + b"\x00")
    scan = segment(0xDA, b"\x01\x01\x00\x01\x3f\x00") + b"\x7f"
    return head + scan * scans + b"\xff\xd9"


def test_scans_of_a_jpeg_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_header(progressive(100), "x").page_hws == ((8, 8),)
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(InvalidInputError, match="101 scans"):
        decode_image(progressive(101))


def test_ordinary_progressive_jpegs_are_decoded() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert decode_image(data).shape == image.shape


# docs/serving.md, "Memory".
BYTES_PER_PIXEL = 40
_CHILD = """
import sys
from pathlib import Path
from hpip.errors import InvalidInputError
from hpip.inputs.decode import decode_image
def peak_bytes():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if "VmHWM" in line))
data = Path(sys.argv[1]).read_bytes()
decode_image(Path(sys.argv[2]).read_bytes())
before = peak_bytes()
try:
    decode_image(data, max_pixels=int(sys.argv[3]), sized_only=True)
except InvalidInputError:
    pass
print(peak_bytes() - before)
"""


@pytest.mark.parametrize(
    "suffix",
    [
        *(".jpg", "progressive.jpg", ".png", "16.png", ".tiff", "16.tiff", "32.tiff", ".webp"),
        *(".bmp", ".jp2", ".pfm", ".hdr", ".ppm", "16.ppm", ".avif", ".gif"),
    ],
)
def test_memory_of_a_picture_is_bounded_by_its_pixels(suffix: str, tmp_path: Path) -> None:
    side = 3000
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    if "16" in suffix:
        image = image.astype(np.uint16) * 257
    if suffix in ("32.tiff", ".pfm", ".hdr"):
        image = image.astype(np.float32)
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1] if "progressive" in suffix else []
    if suffix == ".avif":
        options = [cv2.IMWRITE_AVIF_SPEED, 10]
    ending = "." + suffix.rpartition(".")[2]
    try:
        done, data = cv2.imencode(ending, image, options)
    except cv2.error:
        done = False
    if not done:
        pytest.skip(f"this OpenCV writes no {ending}")
    file, small = tmp_path / "large", tmp_path / "small"
    file.write_bytes(data.tobytes())
    small.write_bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    command = [sys.executable, "-c", _CHILD, str(file), str(small), str(side * side)]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown < BYTES_PER_PIXEL * side * side
