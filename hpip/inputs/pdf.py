# SPDX-License-Identifier: Apache-2.0
"""Pages of a PDF as images, rendered by pypdfium2 (the extra `hpip[pdf]`) as PaddleX does."""

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

# The header may be preceded by other bytes, as readers agree.
_PDF_SIGNATURE = b"%PDF-"
_PDF_SIGNATURE_WITHIN_BYTES = 1024

# PDFium keeps global state: calls from two threads crash, even on two documents. Reentrant, because
# the garbage collector may close an abandoned document while this thread renders another.
_PDFIUM_LOCK = threading.RLock()


def is_pdf(data: bytes) -> bool:
    """Whether the bytes start as a PDF does."""
    return _PDF_SIGNATURE in data[:_PDF_SIGNATURE_WITHIN_BYTES]


class PdfDocument(Closing):
    """An open PDF; a context manager. Each page is rendered when asked, forms included.

    Args:
        data: the file; kept until `close`.
        name: what error messages call it.
        max_pixels: largest width * height of a page, at which the scale is lowered; None takes
            `hpip.inputs.decode.max_image_pixels()`.

    Raises:
        InvalidInputError: damaged, encrypted, or without a page (PDFium opens none of these).
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
                    f"{name}: the PDF can't be opened: {error} It is damaged, has no page or needs"
                    " a password: save it again, without one."
                ) from error

    def close(self) -> None:
        """Free the document; a second call does nothing."""
        with _PDFIUM_LOCK:
            self._document.close()

    def decode(self, page: int = 0) -> UInt8Array:
        """Render one page to (H, W, 3) BGR uint8, C-contiguous; the array is the caller's.

        Raises:
            InvalidInputError: the page is damaged.
        """
        with _PDFIUM_LOCK:
            try:
                pdf_page = self._document[page]
                try:
                    bitmap = pdf_page.render(scale=self._scale(pdf_page.get_size()))
                    # The bitmap's memory goes when it is closed; its rows may be padded.
                    image: UInt8Array = np.array(bitmap.to_numpy()[:, :, :3], order="C")
                    bitmap.close()
                finally:
                    pdf_page.close()
            except self._pdfium.PdfiumError as error:
                raise InvalidInputError(
                    f"{self._name}: page {page} can't be rendered: {error} The PDF is damaged:"
                    " save it again."
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
            f"reading a PDF needs pypdfium2, and its import failed: {error}.",
            "Install it with `pip install 'hpip[pdf]'`, or convert the pages to images.",
        ) from error
    module: ModuleType = pypdfium2
    return module
