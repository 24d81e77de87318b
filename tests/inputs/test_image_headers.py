# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hpip.errors import InvalidInputError
from hpip.inputs.image_headers import ImageHeader, read_header
from hpip.types import AnyArray


def encode(suffix: str, image: AnyArray) -> bytes:
    done, buffer = cv2.imencode(suffix, image)
    assert done
    return buffer.tobytes()


def encode_pil(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


NOISE = np.random.default_rng(6).integers(0, 256, (12, 13, 3), np.uint8)
WHOLE_FILES = [
    *(encode(suffix, NOISE) for suffix in (".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm")),
    encode_pil(Image.fromarray(NOISE), "TIFF", big_tiff=True),
    encode_pil(Image.fromarray(NOISE), "JPEG", progressive=True),
]


@pytest.mark.parametrize("data", WHOLE_FILES)
def test_size_of_whole_files(data: bytes) -> None:
    assert read_header(data, "x").page_hws == ((12, 13),)


def test_unknown_kind() -> None:
    assert read_header(b"whatever this is", "x") == ImageHeader("")


class TestDamagedHeaders:
    @given(
        data=st.sampled_from(WHOLE_FILES),
        changes=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=4),
        kept=st.integers(0, 2**16),
    )
    def test_any_damage_is_understood_or_refused(
        self, data: bytes, changes: list[tuple[int, int]], kept: int
    ) -> None:
        damaged = bytearray(data)
        for position, value in changes:
            damaged[position % len(data)] = value
        try:
            header = read_header(bytes(damaged[:kept]), "x")
        except InvalidInputError:
            return
        assert all(height > 0 and width > 0 for height, width in header.page_hws)

    def test_tiff_whose_many_pages_share_a_huge_field(self) -> None:
        shared_values = 1000
        pages = 200
        page_bytes = 2 + 3 * 12 + 4
        data = b"II*\0" + struct.pack("<I", 8)
        for page in range(pages):
            entries = [(256, 1, 4), (257, 1, 4), (273, shared_values, 8 + pages * page_bytes)]
            fields = b"".join(struct.pack("<HHII", tag, 4, *rest) for tag, *rest in entries)
            data += struct.pack("<H", 3) + fields + struct.pack("<I", 8 + (page + 1) * page_bytes)
        data += bytes(4 * shared_values)
        with pytest.raises(InvalidInputError, match="the same bytes too often"):
            read_header(data, "x")
