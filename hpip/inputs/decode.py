# SPDX-License-Identifier: Apache-2.0
"""Converts encoded files and image arrays to BGR uint8 images of shape (H, W, 3).

Files decode as in `cv2.imdecode(buffer, cv2.IMREAD_COLOR)`, which PaddleX uses for its models: grey
becomes three equal channels, alpha is dropped, 16 bits are scaled to 8, CMYK is converted, and the
EXIF orientation is applied. docs/inputs.md lists all conversions for users.
"""

from __future__ import annotations

import os
import struct

import numpy as np

from hpip.common.opencv import require_cv2
from hpip.errors import InvalidInputError
from hpip.inputs.image_headers import ImageHeader, read_header
from hpip.inputs.jpeg import decode_plain_jpeg
from hpip.inputs.tiff_pages import page_numbers
from hpip.types import AnyArray, UInt8Array

# 512 MiB of BGR pixels, the limit of Pillow and PaddleX. The header of a file of a few kilobytes
# can declare a thousand times more.
MAX_IMAGE_PIXELS = 178_956_970
MAX_IMAGE_PIXELS_ENV = "HPIP_MAX_IMAGE_PIXELS"


def max_image_pixels() -> int:
    """Maximum width * height of an image: `HPIP_MAX_IMAGE_PIXELS`, or else the default.

    Raises:
        InvalidInputError: the environment variable is not a whole number above 0.
    """
    text = os.environ.get(MAX_IMAGE_PIXELS_ENV, "")
    if not text:
        return MAX_IMAGE_PIXELS
    if not text.isdecimal() or int(text) < 1:
        raise InvalidInputError(
            f"{MAX_IMAGE_PIXELS_ENV}: expected a whole number of pixels above 0; received"
            f" {text!r}. Correct or unset the environment variable."
        )
    return int(text)


class EncodedImage:
    """An encoded image with one page or, for TIFF, several; `decode` decodes one of them.

    Reduced-resolution copies and masks in a TIFF do not count as pages.

    Args:
        data: the encoded file.
        name: name of the image in error messages.
        max_pixels: maximum width * height of a page; None for `max_image_pixels()`.
        sized_only: reject formats whose size hpip can't read from the header.

    Raises:
        InvalidInputError: the file is empty, truncated, of zero size, or larger than the limit.
    """

    def __init__(
        self,
        data: bytes | bytearray | memoryview,
        name: str,
        *,
        max_pixels: int | None = None,
        sized_only: bool = False,
    ) -> None:
        self._data = bytes(data)
        self._name = name
        self._max_pixels = max_image_pixels() if max_pixels is None else max_pixels
        self._header: ImageHeader = read_header(self._data, name)
        if sized_only and not self._header.page_hws:
            raise InvalidInputError(self._undecodable())
        self._pages = page_numbers(self._data, self._header.tiff_page_offsets) or (0,)
        for page in self._pages if self._header.page_hws else ():
            self._check_pixels(self._header.page_hws[page])
        for tile_hw in self._header.tile_hws:
            self._check_pixels(tile_hw, "tile of ")

    @property
    def page_count(self) -> int:
        """Number of pages; 1 for every format but TIFF."""
        return len(self._pages)

    def decode(self, page: int = 0) -> UInt8Array:
        """Decode one page to a new C-contiguous (H, W, 3) BGR uint8 array.

        Raises:
            InvalidInputError: OpenCV can't decode the file, or there is no such page.
            BackendUnavailableError: OpenCV is not installed.
        """
        cv2 = require_cv2("decoding an image")
        if self._header.is_plain_jpeg and (plain := decode_plain_jpeg(self._data)) is not None:
            return plain
        buffer = np.frombuffer(self._page_bytes(page), np.uint8)
        try:
            image = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
        except cv2.error as error:
            raise InvalidInputError(self._undecodable()) from error
        if image is None:
            raise InvalidInputError(self._undecodable())
        self._check_pixels(image.shape[:2])
        decoded: UInt8Array = np.ascontiguousarray(image)
        return decoded

    def _page_bytes(self, page: int) -> bytes | bytearray:
        """The file with `page` as its first page, because `imdecode` reads the first page only."""
        if not 0 <= page < self.page_count:
            raise InvalidInputError(
                f"{self._name}: expected a page from 0 to {self.page_count - 1}; received {page}."
                " Pass a smaller page number."
            )
        if self._pages[page] == 0:
            return self._data
        patched = bytearray(self._data)
        code = "<" if patched[:2] == b"II" else ">"
        offset = self._header.tiff_page_offsets[self._pages[page]]
        if b"+" in patched[2:4]:  # BigTIFF
            struct.pack_into(f"{code}Q", patched, 8, offset)
        else:
            struct.pack_into(f"{code}I", patched, 4, offset)
        return patched

    def _check_pixels(self, image_hw: tuple[int, int], what: str = "") -> None:
        height, width = image_hw
        if height * width > self._max_pixels:
            raise InvalidInputError(
                f"{self._name}: expected at most {self._max_pixels} pixels; received a"
                f" {what or 'size of '}{width} x {height}, which is {height * width} pixels. If you"
                f" trust the file, raise the limit with the environment variable"
                f" {MAX_IMAGE_PIXELS_ENV} or with max_pixels; otherwise scale the image down."
            )

    def _undecodable(self) -> str:
        if self._header.kind:
            return (
                f"{self._name}: OpenCV can't decode this {self._header.kind} file of"
                f" {len(self._data)} bytes: it is corrupt, or this version of OpenCV does not"
                " support its variant of the format. Open it in an image viewer and save it again."
            )
        return (
            f"{self._name}: not an image: expected JPEG, PNG, WebP, BMP, TIFF, GIF, JPEG 2000,"
            f" AVIF, PNM or Sun raster; received {len(self._data)} bytes that start with"
            f" {self._data[:8]!r}. Convert the file to one of these formats."
        )


def decode_image(
    data: bytes | bytearray | memoryview,
    name: str = "image",
    *,
    max_pixels: int | None = None,
    sized_only: bool = False,
) -> UInt8Array:
    """Decode an image, or the first page of a TIFF, to C-contiguous (H, W, 3) BGR uint8.

    Equal to `cv2.imdecode(data, cv2.IMREAD_COLOR)` for every complete file. As in OpenCV, 16-bit
    PNG and PNM keep their upper 8 bits, and 16-bit TIFF is rounded to the nearest value / 257.

    Args:
        data: the encoded file.
        name: name of the image in error messages.
        max_pixels: maximum width * height; None for `max_image_pixels()`.
        sized_only: reject formats whose size hpip can't read from the header.

    Raises:
        InvalidInputError: the file is empty, truncated, corrupt, of zero size, too large, or not an
            image.
        BackendUnavailableError: OpenCV is not installed.
    """
    return EncodedImage(data, name, max_pixels=max_pixels, sized_only=sized_only).decode()


def as_bgr(array: AnyArray, name: str = "array") -> UInt8Array:
    """Convert an image array to (H, W, 3) BGR uint8.

    Accepts uint8 and uint16 arrays of shape (H, W), (H, W, 1), (H, W, 3) in BGR or (H, W, 4) in
    BGRA order, with any strides. Grey is copied to three channels, alpha is dropped, and uint16
    keeps its upper 8 bits.

    Args:
        array: the image; H and W at least 1.
        name: name of the array in error messages.

    Returns:
        `array` itself, or a view of it, if its pixels are contiguous within rows and its row stride
        is positive (rows may be padded); otherwise a new C-contiguous array.

    Raises:
        InvalidInputError: the dtype, rank or channel count is not supported, or the size is zero.
    """
    array = np.asarray(array)
    _check_array(array, name)
    image = array[:, :, np.newaxis] if array.ndim == 2 else array
    if image.shape[2] == 1:
        image = np.broadcast_to(image, (*image.shape[:2], 3))
    image = image[:, :, :3]
    if image.dtype.itemsize == 2:
        image = (image >> 8).astype(np.uint8)
    row_stride, *pixel_strides = image.strides
    if pixel_strides != [3, 1] or row_stride < 3 * image.shape[1]:
        # `ascontiguousarray` would keep the unusual strides of an axis of length 1.
        return image.copy(order="C")
    return image


def _check_array(array: AnyArray, name: str) -> None:
    expected = "expected uint8 or uint16 of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
    received = f"received {array.dtype} of shape {array.shape}"
    if array.dtype.kind != "u" or array.dtype.itemsize > 2:
        raise InvalidInputError(
            f"{name}: wrong dtype: {expected}; {received}. {_dtype_advice(array)}"
        )
    if array.ndim not in (2, 3):
        advice = (
            "Pass the images of a batch as a list: list(batch)."
            if array.ndim == 4
            else "Reshape it to rows, columns and channels."
        )
        raise InvalidInputError(f"{name}: wrong rank: {expected}; {received}. {advice}")
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        advice = (
            "The array seems to be channels-first: pass array.transpose(1, 2, 0)."
            if array.shape[0] in (1, 3, 4)
            else "Pass the three channels to use."
        )
        raise InvalidInputError(f"{name}: wrong channel count: {expected}; {received}. {advice}")
    if array.size == 0:
        raise InvalidInputError(
            f"{name}: zero size: {expected} with H and W at least 1; {received}."
            " Check the crop that created it."
        )


def _dtype_advice(array: AnyArray) -> str:
    if array.dtype.kind == "f":
        return (
            "For values in [0, 1]: (array * 255).round().astype(np.uint8);"
            " for values in [0, 255]: array.round().astype(np.uint8)."
        )
    if array.dtype.kind == "b":
        return "Convert it with array.astype(np.uint8) * 255."
    if array.dtype.kind in "iu":
        return "Convert it with np.clip(array, 0, 255).astype(np.uint8)."
    return "Convert it to a numeric image first."
