# SPDX-License-Identifier: Apache-2.0
"""What users put in: everything that `predict` takes, turned lazily into decoded images.

A failed input never stops the others: it comes out in its place, as a `Source` with an error.
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
    """One image to predict, or why there is none; exactly one of `image` and `error` is set.

    Attributes:
        image: (H, W, 3) BGR uint8; no view of the caller's memory.
        input_path: the path or URL that it came from; None for arrays, bytes and PIL images.
        page_index: page of a PDF or of a TIFF with several pages, from 0; else None.
        name: for messages: the path or URL, or "array[3]" for the fourth input; pages carry
            "[page 0]".
        error: what was wrong with the input.
        subfolder: where the file lies below the directory that was given, "day 1/left"; else empty.
    """

    image: UInt8Array | None
    input_path: str | None
    page_index: int | None
    name: str
    error: Exception | None = None
    subfolder: str = ""

    @property
    def stem(self) -> str:
        """File name for results, without a suffix: "photo", "paper_2" (page 2), "array_3"."""
        if self.input_path is None:
            return re.sub(r"\W+", "_", self.name).strip("_")
        return file_stem(self.input_path, self.page_index, nameless="image")


@dataclass(frozen=True)
class FileInputs:
    """Paths, directories, patterns and URLs of a command whose results are saved.

    Attributes:
        texts: as the user wrote them, at least one.
        output_folder: where the results go; what lies there is no input.
    """

    texts: tuple[str, ...]
    output_folder: Path | None = None


def iter_sources(
    inputs: Any, *, url_policy: UrlPolicy | None = None, max_pixels: int | None = None
) -> Iterator[Source]:
    """Yield every image of `inputs` in order, each decoded when it is asked for.

    Args:
        inputs: an array (BGR), path, http(s) URL, directory (searched recursively, sorted), glob
            pattern, bytes of an encoded image, PIL image, dict with one of the keys "img",
            "img_path" and "input", or a list, tuple or iterator of these, nested as you like.
        url_policy: limits for URLs; None takes `UrlPolicy()`.
        max_pixels: largest width * height that is decoded; None takes
            `hpip.inputs.decode.max_image_pixels()`.

    Raises:
        BackendUnavailableError: OpenCV is missing, and a file has to be decoded. (A missing
            pypdfium2 fails the PDFs only.)
    """
    return _Expander(url_policy or UrlPolicy(), max_pixels).expand(inputs)


def is_single(inputs: Any) -> bool:
    """Whether `inputs` names one image, so that its failure should be raised at once.

    A PDF or a TIFF counts as one; a directory, a glob pattern or a list, even of one, does not.
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
    """Number of files and URLs that paths, directories, patterns and URLs name, for a progress bar.

    Nothing is opened: a PDF counts as one, and so does what can't be found.
    """
    return sum(1 if is_url(text) else _file_count(text, output_folder) for text in texts)


def _file_count(text: str, output_folder: Path | None) -> int:
    try:
        return len(find_files(text, output_folder=output_folder))
    except (OSError, ValueError):
        return 1


class _Expander:
    """Walks one input; counts the images that have no path, to name them."""

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
            f" {', '.join(map(repr, _DICT_KEYS))}, got the keys {list(item)!r}. Remove the others."
        )
        yield Source(None, None, None, name, InvalidInputError(message))

    def _expand_text(self, text: str) -> Iterator[Source]:
        self._input_count += 1
        if is_url(text):
            yield from self._url(text)
            return
        try:
            files = find_files(text, output_folder=self._output_folder)
        # ValueError: a path that the file system's encoding can't express.
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
            message = f"{name}: {_EXPECTED}; got {type(item).__name__}."
            yield Source(None, None, None, name, InvalidInputError(message))

    def _next_name(self, kind: str) -> str:
        name = f"{kind}[{self._input_count}]"
        self._input_count += 1
        return name

    def _array(self, item: Any, name: str) -> Source:
        try:
            array: AnyArray = item if isinstance(item, np.ndarray) else _pil_to_array(item)
            image = as_bgr(array, name)
            # A caller may fill one buffer with frame after frame: batches, workers and results
            # hold an image for longer. 1 ms for 1080p.
            if np.may_share_memory(image, array):
                image = image.copy(order="C")
            return Source(image, None, None, name)
        # Pillow reads a file when its pixels are asked for, and raises errors of many classes.
        except Exception as error:
            return Source(None, None, None, name, _as_input_error(error, name))

    def _file(self, path: str) -> Iterator[Source]:
        try:
            # Reading a pipe waits for somebody who writes to it, and a device may never end.
            if stat.S_IFMT(mode := Path(path).stat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
                kind = stat.filemode(mode)[0]
                raise InvalidInputError(f"{path}: expected a file, got a special one ({kind!r}).")
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
                    f"{source.error} The server called it {body.content_type!r}."
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
    # Whoever holds a PIL image has imported PIL.
    pil_image = sys.modules.get("PIL.Image")
    return pil_image is not None and isinstance(item, pil_image.Image)


def _pil_to_array(image: Any) -> AnyArray:
    """A PIL image's current frame as BGR, upright: its EXIF rotation is applied as for files."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("L", "F", "I") or upright.mode.startswith("I;16"):
        return np.asarray(upright)
    return np.asarray(upright.convert("RGB"))[:, :, ::-1]


def _as_input_error(error: Exception, name: str) -> Exception:
    if isinstance(error, HpipError):
        return error
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    wrapped = InvalidInputError(f"{name}: can't be read: {reason}. Check that it can be opened.")
    wrapped.__cause__ = error
    return wrapped
