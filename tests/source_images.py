# SPDX-License-Identifier: Apache-2.0
"""Small encoded pictures, and short ways to ask what a reader made of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from PIL import Image

from hpip.errors import InvalidInputError
from hpip.inputs.sources import Source, iter_sources
from hpip.types import UInt8Array


def picture(shade: int = 90) -> UInt8Array:
    return np.full((6, 8, 3), shade, np.uint8)


def png(shade: int = 90) -> bytes:
    return cv2.imencode(".png", picture(shade))[1].tobytes()


def tiff_pages(count: int) -> bytes:
    pages = [Image.fromarray(picture(10 * i)) for i in range(count)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    return buffer.getvalue()


def shades(sources: Iterator[Source]) -> list[int | None]:
    """One number per source: its grey level, or None where it failed."""
    found = []
    for source in sources:
        assert (source.image is None) != (source.error is None)
        found.append(None if source.image is None else int(source.image[0, 0, 0]))
    return found


def only(inputs: Any, **options: Any) -> Source:
    (source,) = iter_sources(inputs, **options)
    return source


def failure(inputs: Any, **options: Any) -> str:
    source = only(inputs, **options)
    assert isinstance(source.error, InvalidInputError)
    assert source.image is None
    return str(source.error)
