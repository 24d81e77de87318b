# SPDX-License-Identifier: Apache-2.0
"""Overviews, thumbnails and masks inside a TIFF are not pages."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from hpip.errors import InvalidInputError
from hpip.inputs.decode import EncodedImage, decode_image
from hpip.inputs.sources import iter_sources

REDUCED, PAGE, MASK = 1, 2, 4
OLD_FULL, OLD_REDUCED = 1, 2
LONG, SHORT = 4, 3


def tiff(*pages: tuple[int, list[tuple[int, int, int]]], order: str = "<", big: bool = False):
    """Grey pictures one behind another: the shade, and further (tag, type, value) of each."""
    pack = lambda code, *values: struct.pack(order + code, *values)  # noqa: E731
    mark = b"II" if order == "<" else b"MM"
    out = mark + (pack("HHHQ", 43, 8, 0, 16) if big else pack("HI", 42, 8))
    for i, (shade, tags) in enumerate(pages):
        side = 4 + i
        count = 8 + len(tags)
        directory_bytes = 8 + 20 * count + 8 if big else 2 + 12 * count + 4
        data_at = len(out) + directory_bytes
        entries = [
            (256, SHORT, side), (257, SHORT, side), (258, SHORT, 8), (259, SHORT, 1),
            (262, SHORT, 1), (273, LONG, data_at), (278, SHORT, side), (279, LONG, side * side),
            *tags,
        ]  # fmt: skip
        out += pack("Q" if big else "H", count)
        for tag, kind, value in sorted(entries):
            field = pack("H" if kind == SHORT else "I", value)
            out += pack("HH", tag, kind) + pack("Q" if big else "I", 1)
            out += field.ljust(8 if big else 4, b"\0")
        following = data_at + side * side
        last = i == len(pages) - 1
        out += pack("Q" if big else "I", 0 if last else following) + bytes([shade]) * side * side
    return out


def shades(data: bytes) -> list[tuple[int | None, int]]:
    found = []
    for source in iter_sources(data):
        assert source.image is not None, source.error
        found.append((source.page_index, int(source.image[0, 0, 0])))
    return found


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("kind", [LONG, SHORT])
def test_overviews_and_masks_are_left_out(order: str, big: bool, kind: int) -> None:
    def subfile(value: int) -> list[tuple[int, int, int]]:
        return [(254, kind, value)]

    def pages(*values: int) -> bytes:
        shaded = [(10 * (i + 1), subfile(value)) for i, value in enumerate(values)]
        return tiff(*shaded, order=order, big=big)

    assert shades(pages(0, REDUCED, REDUCED)) == [(None, 10)]
    assert shades(pages(0, MASK)) == [(None, 10)]
    assert shades(pages(0, MASK | REDUCED, PAGE)) == [(0, 10), (1, 30)]
    assert shades(pages(REDUCED, 0)) == [(None, 20)]
    assert shades(pages(PAGE, PAGE)) == [(0, 10), (1, 20)]
    assert shades(pages(PAGE | REDUCED, PAGE, REDUCED, PAGE)) == [(0, 20), (1, 40)]


def test_the_older_tag_counts_too() -> None:
    def old(value: int) -> list[tuple[int, int, int]]:
        return [(255, SHORT, value)]

    assert shades(tiff((10, old(OLD_FULL)), (20, old(OLD_REDUCED)))) == [(None, 10)]
    assert shades(tiff((10, []), (20, []))) == [(0, 10), (1, 20)]


def test_a_file_of_nothing_but_overviews_shows_them() -> None:
    overview = [(254, LONG, REDUCED)]
    assert shades(tiff((10, overview), (20, overview))) == [(0, 10), (1, 20)]
    assert shades(tiff((10, overview))) == [(None, 10)]


def test_the_first_page_is_the_first_that_is_one() -> None:
    data = tiff((10, [(254, LONG, REDUCED)]), (20, []), (30, [(254, LONG, MASK)]))
    assert decode_image(data).shape == (5, 5, 3)
    assert (decode_image(data) == 20).all()
    image = EncodedImage(data, "map.tif")
    assert image.page_count == 1
    with pytest.raises(InvalidInputError, match=r"expected a page from 0 to 0"):
        image.decode(1)


def test_only_pages_count_for_the_limit_of_pixels() -> None:
    data = tiff((10, []), (20, [(254, LONG, REDUCED)]))
    assert decode_image(data, max_pixels=16).shape == (4, 4, 3)
    with pytest.raises(InvalidInputError, match="25 pixels"):
        decode_image(tiff((10, []), (20, [])), max_pixels=16)
    assert np.all(decode_image(tiff((10, []))) == 10)
