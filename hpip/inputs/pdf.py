# SPDX-License-Identifier: Apache-2.0
"""Renders the pages of a PDF with pypdfium2 (the extra `hpip[pdf]`), as PaddleX does."""

from __future__ import annotations

import math
import threading
from types import ModuleType

import numpy as np

from hpip.common.closing import Closing
from hpip.errors import BackendUnavailableError, InvalidInputError
from hpip.inputs.decode import max_image_pixels
from hpip.types import UInt8Array

# PaddleX's PDF_RENDER_SCALE: 2 pixels per point are 144 dpi.
PDF_RENDER_SCALE = 2.0

# As in other PDF readers, other bytes may precede the header.
_PDF_SIGNATURE = b"%PDF-"
_PDF_SIGNATURE_WITHIN_BYTES = 1024

# PDFium has global state: concurrent calls crash, even on different documents. The lock is
# reentrant, because the garbage collector may close a document while this thread renders another.
_PDFIUM_LOCK = threading.RLock()


def is_pdf(data: bytes) -> bool:
    """Whether the data begins with a PDF header."""
    return _PDF_SIGNATURE in data[:_PDF_SIGNATURE_WITHIN_BYTES]


class PdfDocument(Closing):
    """An open PDF; a context manager. `decode` renders one page, including form fields.

    Args:
        data: the content of the file; kept until `close`.
        name: name of the document in error messages.
        max_pixels: maximum width * height of a rendered page; larger pages are rendered at a lower
            resolution. None for `hpip.inputs.decode.max_image_pixels()`.

    Raises:
        InvalidInputError: the document is damaged, encrypted, or has no pages.
        BackendUnavailableError: pypdfium2 is not installed.
    """

    def __init__(self, data: bytes, name: str, *, max_pixels: int | None = None) -> None:
        self._pdfium = _require_pypdfium2()
        self._name = name
        self._max_pixels = max_image_pixels() if max_pixels is None else max_pixels
        with _PDFIUM_LOCK:
            try:
                self._document = self._pdfium.PdfDocument(data)
                self._document.init_forms()
                self.page_count: int = len(self._document)
            except self._pdfium.PdfiumError as error:
                raise InvalidInputError(
                    f"{name}: the PDF can't be opened: {error} It is damaged, has no pages, or"
                    " requires a password. Save it again without a password."
                ) from error

    def close(self) -> None:
        """Free the document. May be called again."""
        with _PDFIUM_LOCK:
            self._document.close()

    def decode(self, page: int = 0) -> UInt8Array:
        """Render one page to a new C-contiguous (H, W, 3) BGR uint8 array.

        Raises:
            InvalidInputError: the page is damaged.
        """
        with _PDFIUM_LOCK:
            try:
                pdf_page = self._document[page]
                try:
                    bitmap = pdf_page.render(scale=self._scale(pdf_page.get_size()))
                    # A copy, because `close` frees the bitmap's memory; its rows may be padded.
                    image: UInt8Array = np.array(bitmap.to_numpy()[:, :, :3], order="C")
                    bitmap.close()
                finally:
                    pdf_page.close()
            except self._pdfium.PdfiumError as error:
                raise InvalidInputError(
                    f"{self._name}: page {page} can't be rendered: {error} The PDF is damaged."
                    " Save it again."
                ) from error
        return image

    def _scale(self, page_size_points: tuple[float, float]) -> float:
        width, height = page_size_points
        return min(PDF_RENDER_SCALE, math.sqrt(self._max_pixels / max(1.0, width * height)))


def _require_pypdfium2() -> ModuleType:
    try:
        import pypdfium2
    except ImportError as error:
        raise BackendUnavailableError(
            "pypdfium2",
            f"reading a PDF requires pypdfium2, whose import failed: {error}.",
            "Install it with `pip install 'hpip[pdf]'`, or convert the pages to images.",
        ) from error
    module: ModuleType = pypdfium2
    return module
