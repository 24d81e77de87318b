# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from hpip.errors import InvalidInputError
from hpip.inputs import decode
from hpip.inputs.decode import EncodedImage, as_bgr, decode_image
from hpip.inputs.image_headers import read_header
from hpip.inputs.jpeg import decode_plain_jpeg
from hpip.types import AnyArray, UInt8Array

EXIF_ORIENTATION = 0x0112


def picture(height: int, width: int, channels: int = 3) -> UInt8Array:
    """Smooth enough for JPEG, and different in every corner, row, column and channel."""
    rows = np.linspace(10, 200, height)[:, None, None]
    columns = np.linspace(0, 50, width)[None, :, None]
    return (rows + columns + np.arange(channels) * 1.5).astype(np.uint8)


def encode(suffix: str, image: AnyArray) -> bytes:
    done, buffer = cv2.imencode(suffix, image)
    assert done
    return buffer.tobytes()


def encode_pil(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def imdecode(data: bytes) -> UInt8Array:
    """What PaddleX does with a file."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def assert_is_imdecode(data: bytes) -> UInt8Array:
    decoded = decode_image(data)
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    assert decoded.flags.writeable
    np.testing.assert_array_equal(decoded, imdecode(data))
    return decoded


class TestFiles:
    @pytest.mark.parametrize(
        "suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm", ".ras", ".jp2"]
    )
    def test_equals_imdecode(self, suffix: str) -> None:
        assert assert_is_imdecode(encode(suffix, picture(37, 53))).shape == (37, 53, 3)

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".pgm", ".bmp", ".tiff"])
    def test_grey_becomes_three_equal_channels(self, suffix: str) -> None:
        decoded = assert_is_imdecode(encode(suffix, picture(20, 30, 1)))
        assert (decoded == decoded[:, :, :1]).all()

    @pytest.mark.parametrize("suffix", [".png", ".tiff"])
    def test_alpha_is_dropped_not_blended(self, suffix: str) -> None:
        image = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
        np.testing.assert_array_equal(assert_is_imdecode(encode(suffix, image)), image[:, :, :3])

    def test_webp_alpha_is_dropped(self) -> None:
        image = Image.fromarray(picture(16, 16, 4), "RGBA")
        assert assert_is_imdecode(encode_pil(image, "WEBP", lossless=True)).shape == (16, 16, 3)

    @pytest.mark.parametrize("channels", [1, 3, 4])
    def test_16_bit_png_keeps_the_upper_byte(self, channels: int) -> None:
        image = np.random.default_rng(1).integers(0, 65536, (9, 7, channels)).astype(np.uint16)
        decoded = assert_is_imdecode(encode(".png", image))
        np.testing.assert_array_equal(decoded, as_bgr(image))

    def test_16_bit_tiff_is_scaled(self) -> None:
        image = np.random.default_rng(2).integers(0, 65536, (9, 7, 3)).astype(np.uint16)
        decoded = assert_is_imdecode(encode(".tiff", image))
        np.testing.assert_array_equal(decoded, np.round(image / 257))

    def test_cmyk_jpeg(self) -> None:
        image = picture(40, 60)
        data = encode_pil(Image.fromarray(image).convert("CMYK"), "JPEG", quality=95)
        decoded = assert_is_imdecode(data)
        assert np.abs(decoded[:, :, ::-1].astype(int) - image).max() <= 12

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_rotation_is_applied(self, orientation: int) -> None:
        # What the viewer should see for each stored orientation, from EXIF's definition.
        upright = {
            1: lambda a: a,
            2: lambda a: a[:, ::-1],
            3: lambda a: a[::-1, ::-1],
            4: lambda a: a[::-1],
            5: lambda a: a.transpose(1, 0, 2),
            6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
            7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
            8: lambda a: a.transpose(1, 0, 2)[::-1],
        }[orientation]
        image = picture(24, 48)
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = orientation
        data = encode_pil(Image.fromarray(image[:, :, ::-1]), "JPEG", exif=exif, quality=100)
        decoded = assert_is_imdecode(data)
        assert decoded.shape == upright(image).shape
        assert np.abs(decoded.astype(int) - upright(image)).max() <= 6

    @pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5000), (5000, 1), (3, 2)])
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
    def test_extreme_sizes(self, suffix: str, height: int, width: int) -> None:
        assert assert_is_imdecode(encode(suffix, picture(height, width))).shape == (
            height,
            width,
            3,
        )

    @pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_rows": 1}])
    def test_jpeg_variants(self, options: dict[str, object]) -> None:
        noise = np.random.default_rng(3).integers(0, 256, (120, 90, 3), np.uint8)
        assert_is_imdecode(encode_pil(Image.fromarray(noise), "JPEG", **options))

    @pytest.mark.parametrize("subsampling", [0, 1, 2])
    @pytest.mark.parametrize("width", [1, 7, 8, 90, 91])
    @pytest.mark.parametrize("quality", [30, 75, 100])
    def test_the_usual_jpeg_is_the_same_by_libjpeg_itself(
        self, subsampling: int, width: int, quality: int
    ) -> None:
        noise = np.random.default_rng(width).integers(0, 256, (61, width, 3), np.uint8)
        data = encode_pil(Image.fromarray(noise), "JPEG", subsampling=subsampling, quality=quality)
        assert read_header(data, "image").is_plain_jpeg
        np.testing.assert_array_equal(decode_plain_jpeg(data), imdecode(data))
        assert_is_imdecode(data)

    def test_data_that_libjpeg_warns_about_are_left_to_opencv(self) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        data = encode_pil(Image.fromarray(noise), "JPEG")
        broken = data[:-400] + b"\0" * 398 + data[-2:]
        assert read_header(broken, "image").is_plain_jpeg
        assert decode_plain_jpeg(broken) is None

    def test_grey_cmyk_and_rotated_jpegs_are_not_plain(self) -> None:
        image = Image.fromarray(picture(24, 48))
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = 6
        for data in (
            encode_pil(image.convert("L"), "JPEG"),
            encode_pil(image.convert("CMYK"), "JPEG"),
            encode_pil(image, "JPEG", exif=exif),
        ):
            assert not read_header(data, "image").is_plain_jpeg

    def test_jpeg_with_a_thumbnail_and_bytes_after_its_end(self) -> None:
        thumbnail = encode(".jpg", picture(8, 8))
        exif = b"Exif\0\0" + thumbnail
        data = encode(".jpg", picture(40, 40))
        segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
        assert_is_imdecode(data[:2] + segment + data[2:] + b"\0padding\xff\xd8\xff")

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_buffers_of_any_kind(self, kind: type) -> None:
        data = encode(".png", picture(5, 6))
        np.testing.assert_array_equal(decode_image(kind(data)), imdecode(data))


class TestTiffPages:
    @pytest.mark.parametrize("big_tiff", [False, True])
    def test_each_page_decodes_alone(self, big_tiff: bool) -> None:
        pages = [Image.fromarray(picture(20, 10 + i)) for i in range(4)]
        options = {"save_all": True, "append_images": pages[1:], "big_tiff": big_tiff}
        tiff = EncodedImage(encode_pil(pages[0], "TIFF", **options), "scan.tif")
        assert tiff.page_count == 4
        for index in (3, 0, 2, 1):
            expected = np.asarray(pages[index])[:, :, ::-1]
            np.testing.assert_array_equal(tiff.decode(index), expected)

    def test_big_endian(self) -> None:
        # One grey strip of 2 x 3 pixels, written by hand.
        entries = [(256, 3), (257, 2), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1)]
        entries += [(278, 2), (279, 6)]
        fields = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in entries)
        directory = struct.pack(">H", len(entries)) + fields + struct.pack(">I", 0)
        data = b"MM\0*" + struct.pack(">I", 14) + bytes([1, 2, 3, 4, 5, 6]) + directory
        assert assert_is_imdecode(data)[:, :, 0].tolist() == [[1, 2, 3], [4, 5, 6]]

    @pytest.mark.parametrize("page", [-1, 1])
    def test_page_out_of_range(self, page: int) -> None:
        with pytest.raises(InvalidInputError, match=r"expected a page from 0 to 0"):
            EncodedImage(encode(".png", picture(5, 6)), "x").decode(page)


class TestBadFiles:
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm", ".ras"])
    @pytest.mark.parametrize("fraction", [0.0, 0.002, 0.01, 0.1, 0.5, 0.9, 0.99, 0.9999])
    def test_truncated(self, suffix: str, fraction: float) -> None:
        noise = np.random.default_rng(4).integers(0, 256, (80, 90, 3), np.uint8)
        data = encode(suffix, noise)
        with pytest.raises(InvalidInputError, match=r"^photo\.x: "):
            decode_image(data[: int(len(data) * fraction)], "photo.x")

    def test_truncated_jpeg_at_every_byte_of_its_header(self) -> None:
        data = encode(".jpg", picture(16, 16))
        for length in range(len(data)):
            with pytest.raises(InvalidInputError):
                decode_image(data[:length])

    def test_truncated_progressive_jpeg(self) -> None:
        noise = np.random.default_rng(5).integers(0, 256, (60, 60, 3), np.uint8)
        data = encode_pil(Image.fromarray(noise), "JPEG", progressive=True)
        second_scan = data.index(b"\xff\xda", data.index(b"\xff\xda") + 1)
        with pytest.raises(InvalidInputError, match="ends before the end-of-image marker"):
            decode_image(data[:second_scan])

    @pytest.mark.parametrize("big_tiff", [False, True])
    def test_truncated_tiff_whose_directory_comes_first(self, big_tiff: bool) -> None:
        data = encode_pil(Image.fromarray(picture(50, 50)), "TIFF", big_tiff=big_tiff)
        with pytest.raises(InvalidInputError, match="truncated"):
            decode_image(data[:-1000])

    def test_tiff_whose_pages_form_a_loop(self) -> None:
        data = bytearray(encode_pil(Image.fromarray(picture(5, 5)), "TIFF"))
        (first,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, first)
        struct.pack_into("<I", data, first + 2 + 12 * count, first)
        assert EncodedImage(data, "loop.tif").page_count == 1

    def test_damaged_png(self) -> None:
        data = bytearray(encode(".png", picture(60, 60)))
        data[len(data) // 2] ^= 0xFF
        with pytest.raises(InvalidInputError, match="checksum of chunk b'IDAT'"):
            decode_image(bytes(data))

    def test_empty(self) -> None:
        with pytest.raises(InvalidInputError, match=r"^a\.jpg: the file is empty"):
            decode_image(b"", "a.jpg")

    @pytest.mark.parametrize("data", [b"x", b"<html>hello</html>", b"\0" * 5000])
    def test_not_an_image(self, data: bytes) -> None:
        with pytest.raises(InvalidInputError, match=r"^a\.jpg: not an image"):
            decode_image(data, "a.jpg")

    @pytest.mark.parametrize(("width", "height"), [(0, 4), (4, 0)])
    def test_zero_size(self, width: int, height: int) -> None:
        with pytest.raises(InvalidInputError, match=f"{width} x {height} pixels"):
            decode_image(png_of_size(width, height))


def png_of_size(width: int, height: int) -> bytes:
    """A structurally whole grey PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


class TestPixelLimit:
    def test_bomb_is_refused_before_it_is_decoded(self) -> None:
        with pytest.raises(InvalidInputError, match="50000 x 40000, which is 2000000000 pixels"):
            decode_image(png_of_size(50000, 40000))

    @pytest.mark.parametrize(
        "suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm", ".pgm", ".ras"]
    )
    def test_argument(self, suffix: str) -> None:
        image = picture(20, 30) if suffix != ".pgm" else picture(20, 30, 1)
        data = encode(suffix, image)
        assert decode_image(data, max_pixels=600).shape == (20, 30, 3)
        with pytest.raises(
            InvalidInputError, match=r"at most 599 pixels; .* 30 x 20, which is 600 pixels"
        ):
            decode_image(data, max_pixels=599)

    @pytest.mark.parametrize("options", [{"lossless": True}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08"}])
    def test_webp_variants(self, options: dict[str, object]) -> None:
        data = encode_pil(Image.fromarray(picture(20, 30)), "WEBP", **options)
        with pytest.raises(InvalidInputError, match="30 x 20, which is 600 pixels"):
            decode_image(data, max_pixels=599)

    def test_gif(self) -> None:
        data = encode_pil(Image.fromarray(picture(20, 30)), "GIF")
        with pytest.raises(InvalidInputError, match="30 x 20, which is 600 pixels"):
            decode_image(data, max_pixels=599)

    def test_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = encode(".png", picture(20, 30))
        monkeypatch.setenv(decode.MAX_IMAGE_PIXELS_ENV, "599")
        with pytest.raises(InvalidInputError, match="at most 599"):
            decode_image(data)
        monkeypatch.setenv(decode.MAX_IMAGE_PIXELS_ENV, "many")
        with pytest.raises(
            InvalidInputError, match="whole number of pixels above 0; received 'many'"
        ):
            decode_image(data)


def reference_bgr(array: AnyArray) -> UInt8Array:
    """One pixel at a time."""
    height, width = array.shape[:2]
    shift = 8 if array.dtype.itemsize == 2 else 0
    out = np.zeros((height, width, 3), np.uint8)
    for y in range(height):
        for x in range(width):
            values = [int(value) >> shift for value in np.atleast_1d(array[y, x])]
            out[y, x] = values * 3 if len(values) == 1 else values[:3]
    return out


@st.composite
def strided_images(draw: st.DrawFn) -> AnyArray:
    channels = draw(st.sampled_from([(), (1,), (3,), (4,)]))
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 6)), *channels)
    dtype = draw(st.sampled_from(["u1", "<u2", ">u2"]))
    order = draw(st.sampled_from("CF"))
    steps = draw(st.tuples(*[st.sampled_from([1, 2, -1, -2])] * 2))
    base_shape = (shape[0] * abs(steps[0]), shape[1] * abs(steps[1]) + draw(st.integers(0, 2)))
    base = draw(hnp.arrays(dtype, (*base_shape, *channels)))
    view = np.asarray(base, order=order)[:: steps[0], :: steps[1]]
    return view[: shape[0], : shape[1]]


class TestArrays:
    @given(array=strided_images())
    def test_every_kind(self, array: AnyArray) -> None:
        before = array.copy()
        image = as_bgr(array)
        np.testing.assert_array_equal(image, reference_bgr(array))
        assert image.dtype == np.uint8
        assert image.strides[1:] == (3, 1)
        assert image.strides[0] >= 3 * image.shape[1]
        np.testing.assert_array_equal(array, before)

    def test_packed_rows_are_not_copied(self) -> None:
        image = picture(20, 30)
        assert np.shares_memory(as_bgr(image), image)
        assert np.shares_memory(as_bgr(image[2:, 5:]), image)

    @pytest.mark.parametrize("shape", [(1, 1, 3), (1, 5000, 3), (5000, 1, 3), (1, 1)])
    def test_extreme_sizes(self, shape: tuple[int, ...]) -> None:
        assert as_bgr(np.zeros(shape, np.uint8)).shape == (*shape[:2], 3)

    @pytest.mark.parametrize(
        ("array", "what", "advice"),
        [
            (np.zeros((4, 5, 3), np.float32), "received float32", r"array \* 255"),
            (np.zeros((4, 5), bool), "received bool", r"astype\(np.uint8\) \* 255"),
            (np.zeros((4, 5), np.int64), "received int64", "np.clip"),
            (np.zeros((4, 5), np.uint32), "received uint32", "np.clip"),
            (np.zeros((4, 5), object), "received object", "numeric"),
            (np.zeros(5, np.uint8), "wrong rank", "rows, columns"),
            (np.zeros((), np.uint8), "wrong rank", "rows, columns"),
            (np.zeros((2, 4, 5, 3), np.uint8), "wrong rank", "list"),
            (np.zeros((9, 5, 2), np.uint8), "wrong channel count", "three channels"),
            (np.zeros((9, 5, 5), np.uint8), "wrong channel count", "three channels"),
            (np.zeros((3, 4, 5), np.uint8), "wrong channel count", "transpose"),
            (np.zeros((0, 5, 3), np.uint8), "zero size", "crop"),
            (np.zeros((5, 0), np.uint8), "zero size", "crop"),
        ],
    )
    def test_refused(self, array: AnyArray, what: str, advice: str) -> None:
        with pytest.raises(InvalidInputError, match=what) as caught:
            as_bgr(array, "frame")
        message = str(caught.value)
        assert message.startswith("frame: ")
        assert "expected uint8 or uint16" in message
        assert f"received {array.dtype} of shape {array.shape}" in message
        assert re.search(advice, message)


class TestOpenCvIsAPeer:
    def test_error_names_both_wheels(self, tmp_path: Path) -> None:
        (tmp_path / "cv2.py").write_text("raise ImportError('no cv2 here')\n")
        code = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "import numpy as np\n"
            "import hpip.inputs.sources\n"
            "from hpip.inputs.decode import as_bgr, decode_image\n"
            "as_bgr(np.zeros((2, 2), np.uint8))\n"
            "from hpip.errors import BackendUnavailableError\n"
            "try:\n"
            "    decode_image(bytes.fromhex(sys.argv[2]))\n"
            "except BackendUnavailableError as error:\n"
            "    assert error.backend == 'opencv'\n"
            "    print(error)\n"
        )
        data = encode(".png", picture(2, 2)).hex()
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), data],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "opencv-python-headless" in done.stdout
        assert "opencv-contrib-python" in done.stdout
        assert "hpip[cpu]" in done.stdout


def test_real_photos_decode_as_paddlex_decodes_them(photos_dir: Path) -> None:
    photos = sorted(photos_dir.glob("*.jpg"))
    assert photos
    for photo in photos:
        assert_is_imdecode(photo.read_bytes())
