# SPDX-License-Identifier: Apache-2.0
"""Converts the inputs that `predict` accepts to decoded images, lazily.

A failed input does not stop the others: a `Source` with the error takes its place.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpip.common.file_names import file_stem, is_url
from hpip.errors import BackendUnavailableError, HpipError, InvalidInputError
from hpip.inputs.decode import EncodedImage, as_bgr
from hpip.inputs.fetch import UrlPolicy, fetch_url
from hpip.inputs.find_files import find_files, is_pattern
from hpip.inputs.pdf import PdfDocument, is_pdf
from hpip.types import AnyArray, UInt8Array

_DICT_KEYS = ("img", "img_path", "input")
_EXPECTED = (
    "expected a NumPy array (BGR), a path, an http(s) URL, a directory, a glob pattern, the bytes"
    " of an encoded image, a PIL image, a dict with one of the keys"
    f" {', '.join(map(repr, _DICT_KEYS))}, or a list, tuple or iterator of these"
)


@dataclass(frozen=True, eq=False)
class Source:
    """An image to predict, or the error of a failed input; exactly one of the two is not None.

    Attributes:
        image: (H, W, 3) BGR uint8; not a view of the caller's memory.
        input_path: path or URL of the image; None for arrays, bytes and PIL images.
        page_index: page of a PDF or of a TIFF with several pages, from 0; otherwise None.
        name: name in messages: the path or URL, or "array[3]" for the fourth input; with the suffix
            "[page 0]" for a page.
        error: the error of a failed input.
        subfolder: folder of the file relative to the given directory, such as "day 1/left"; empty
            otherwise.
    """

    image: UInt8Array | None
    input_path: str | None
    page_index: int | None
    name: str
    error: Exception | None = None
    subfolder: str = ""

    @property
    def stem(self) -> str:
        """File name of results without a suffix: "photo", "paper_2" (page 2) or "array_3"."""
        if self.input_path is None:
            return re.sub(r"\W+", "_", self.name).strip("_")
        return file_stem(self.input_path, self.page_index, nameless="image")


@dataclass(frozen=True)
class FileInputs:
    """Paths, directories, patterns and URLs of a command that saves its results.

    Attributes:
        texts: the inputs as the user wrote them, at least one.
        output_folder: folder for the results, whose files are not inputs.
    """

    texts: tuple[str, ...]
    output_folder: Path | None = None


def iter_sources(
    inputs: Any, *, url_policy: UrlPolicy | None = None, max_pixels: int | None = None
) -> Iterator[Source]:
    """Yield every image of `inputs` in order; each is decoded when the iterator reaches it.

    Args:
        inputs: an array (BGR), path, http(s) URL, directory (searched recursively, sorted), glob
            pattern, bytes of an encoded image, PIL image, dict with one of the keys "img",
            "img_path" and "input", or a list, tuple or iterator of these, in any nesting.
        url_policy: limits for downloads; None for `UrlPolicy()`.
        max_pixels: maximum width * height of an image; None for
            `hpip.inputs.decode.max_image_pixels()`.

    Raises:
        BackendUnavailableError: an input is a file, and OpenCV is not installed. (Without
            pypdfium2, only PDFs fail.)
    """
    return _Expander(url_policy or UrlPolicy(), max_pixels).expand(inputs)


def is_single(inputs: Any) -> bool:
    """Whether `inputs` is a single image, whose error `predict` raises instead of skipping it.

    True for a PDF and a TIFF; False for a directory, a glob pattern and a list, even of one item.
    """
    if isinstance(inputs, Mapping):
        return len(inputs) != 1 or is_single(next(iter(inputs.values())))
    if isinstance(inputs, FileInputs):
        return len(inputs.texts) == 1 and is_single(inputs.texts[0])
    if isinstance(inputs, list | tuple | Iterator):
        return False
    if isinstance(inputs, str | os.PathLike):
        path = os.fspath(inputs)
        return not isinstance(path, str) or not (os.path.isdir(path) or is_pattern(path))  # noqa: PTH112
    return True


def count_files(texts: Sequence[str], *, output_folder: Path | None = None) -> int:
    """Count the files and URLs of paths, directories, patterns and URLs, for a progress bar.

    Does not open any file: a PDF counts as one, and so does an input that does not exist.
    """
    return sum(1 if is_url(text) else _file_count(text, output_folder) for text in texts)


def _file_count(text: str, output_folder: Path | None) -> int:
    try:
        return len(find_files(text, output_folder=output_folder))
    except (OSError, ValueError):
        return 1


class _Expander:
    """Expands one input; numbers its items, to name the images without a path."""

    def __init__(self, url_policy: UrlPolicy, max_pixels: int | None) -> None:
        self._url_policy = url_policy
        self._max_pixels = max_pixels
        self._input_count = 0
        self._output_folder: Path | None = None

    def expand(self, item: Any) -> Iterator[Source]:
        """Yield the sources of one input of any kind."""
        if isinstance(item, FileInputs):
            self._output_folder = item.output_folder
            for text in item.texts:
                yield from self._expand_text(text)
        elif isinstance(item, list | tuple | Iterator):
            for child in item:
                yield from self.expand(child)
        elif isinstance(item, Mapping):
            yield from self._expand_dict(item)
        elif isinstance(item, str | os.PathLike) and isinstance(os.fspath(item), str):
            yield from self._expand_text(os.fspath(item))
        else:
            yield from self._expand_memory(item)

    def _expand_dict(self, item: Mapping[Any, Any]) -> Iterator[Source]:
        if len(item) == 1 and next(iter(item)) in _DICT_KEYS:
            yield from self.expand(next(iter(item.values())))
            return
        name = self._next_name("dict")
        message = (
            f"{name}: expected a dict with exactly one of the keys"
            f" {', '.join(map(repr, _DICT_KEYS))}; received the keys {list(item)!r}. Remove the"
            " other keys."
        )
        yield Source(None, None, None, name, InvalidInputError(message))

    def _expand_text(self, text: str) -> Iterator[Source]:
        self._input_count += 1
        if is_url(text):
            yield from self._url(text)
            return
        try:
            files = find_files(text, output_folder=self._output_folder)
        # ValueError: a path that can't be encoded for the file system.
        except (OSError, ValueError) as error:
            yield Source(None, text, None, text or "''", _as_input_error(error, text))
            return
        for file in files:
            for source in self._file(file.path):
                yield replace(source, subfolder=file.subfolder)

    def _expand_memory(self, item: Any) -> Iterator[Source]:
        if isinstance(item, np.ndarray):
            yield self._array(item, self._next_name("array"))
        elif isinstance(item, bytes | bytearray | memoryview):
            yield from self._encoded(bytes(item), self._next_name("bytes"), None)
        elif _is_pil_image(item):
            yield self._array(item, self._next_name("image"))
        else:
            name = self._next_name("input")
            message = f"{name}: {_EXPECTED}; received {type(item).__name__}."
            yield Source(None, None, None, name, InvalidInputError(message))

    def _next_name(self, kind: str) -> str:
        name = f"{kind}[{self._input_count}]"
        self._input_count += 1
        return name

    def _array(self, item: Any, name: str) -> Source:
        try:
            array: AnyArray = item if isinstance(item, np.ndarray) else _pil_to_array(item)
            image = as_bgr(array, name)
            # The caller may reuse the buffer for the next frame, while batches, workers and results
            # still hold the image. The copy takes 1 ms for 1080p.
            if np.may_share_memory(image, array):
                image = image.copy(order="C")
            return Source(image, None, None, name)
        # Pillow reads a file at the first access to its pixels, and raises errors of many classes.
        except Exception as error:
            return Source(None, None, None, name, _as_input_error(error, name))

    def _file(self, path: str) -> Iterator[Source]:
        try:
            # Reading a pipe blocks until a process writes to it, and a device may never end.
            if stat.S_IFMT(mode := Path(path).stat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
                kind = stat.filemode(mode)[0]
                raise InvalidInputError(
                    f"{path}: expected a regular file; received a special file of type {kind!r},"
                    " such as a pipe or a device. Pass the path of an image."
                )
            data = Path(path).read_bytes()
        except (OSError, ValueError, MemoryError) as error:
            yield Source(None, path, None, path, _as_input_error(error, path))
            return
        yield from self._encoded(data, path, path)

    def _url(self, url: str) -> Iterator[Source]:
        try:
            body = fetch_url(url, self._url_policy)
        except InvalidInputError as error:
            yield Source(None, url, None, url, error)
            return
        for source in self._encoded(body.data, url, url):
            if isinstance(source.error, InvalidInputError):
                wrapped = InvalidInputError(
                    f"{source.error} The server declared the content type {body.content_type!r}."
                )
                wrapped.__cause__ = source.error
                yield Source(None, url, source.page_index, source.name, wrapped)
            else:
                yield source

    def _encoded(self, data: bytes, name: str, input_path: str | None) -> Iterator[Source]:
        try:
            if is_pdf(data):
                with PdfDocument(data, name, max_pixels=self._max_pixels) as document:
                    yield from _pages(document, name, input_path, numbered=True)
            else:
                image = EncodedImage(data, name, max_pixels=self._max_pixels)
                yield from _pages(image, name, input_path, numbered=image.page_count > 1)
        except HpipError as error:
            if isinstance(error, BackendUnavailableError) and error.backend == "opencv":
                raise
            yield Source(None, input_path, None, name, error)


def _pages(
    document: EncodedImage | PdfDocument, name: str, input_path: str | None, *, numbered: bool
) -> Iterator[Source]:
    for page in range(document.page_count):
        page_index = page if numbered else None
        page_name = f"{name}[page {page}]" if numbered else name
        try:
            image = document.decode(page)
        except (InvalidInputError, MemoryError) as error:
            failure = _as_input_error(error, page_name)
            yield Source(None, input_path, page_index, page_name, failure)
        else:
            yield Source(image, input_path, page_index, page_name)


def _is_pil_image(item: Any) -> bool:
    # Does not import PIL: the caller has imported it already if this is a PIL image.
    pil_image = sys.modules.get("PIL.Image")
    return pil_image is not None and isinstance(item, pil_image.Image)


def _pil_to_array(image: Any) -> AnyArray:
    """The current frame of a PIL image as BGR, with its EXIF rotation applied as for files."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("L", "F", "I") or upright.mode.startswith("I;16"):
        return np.asarray(upright)
    return np.asarray(upright.convert("RGB"))[:, :, ::-1]


def _as_input_error(error: Exception, name: str) -> Exception:
    if isinstance(error, HpipError):
        return error
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    wrapped = InvalidInputError(
        f"{name}: can't be read: {reason}. Check that the file exists and that you may read it."
    )
    wrapped.__cause__ = error
    return wrapped
