# SPDX-License-Identifier: Apache-2.0
"""Finds the image file directories (IFDs) of a TIFF that are pages.

Other directories of a TIFF may be reduced-resolution copies (a thumbnail, the overviews of a map)
or transparency masks; the subfile-type tags mark them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpip.types import AnyArray

_NEW_SUBFILE_TYPE, _SUBFILE_TYPE = 254, 255
_REDUCED_BIT, _MASK_BIT = 1, 4
# Value of the older tag for a reduced-resolution copy; 1 is the full image, 3 a page.
_OLD_REDUCED = 2


def page_numbers(data: bytes, offsets: Sequence[int]) -> tuple[int, ...]:
    """Indices of the directories that are pages; all of them if none is marked as a page.

    Args:
        data: the TIFF or BigTIFF file.
        offsets: offsets of its directories in the file; must be valid.
    """
    if len(offsets) < 2:
        return tuple(range(len(offsets)))
    pages = tuple(i for i, offset in enumerate(offsets) if _is_page(data, offset))
    return pages or tuple(range(len(offsets)))


def _is_page(data: bytes, offset: int) -> bool:
    entries = _entries(data, offset)
    for tag, reduced in ((_NEW_SUBFILE_TYPE, _REDUCED_BIT | _MASK_BIT), (_SUBFILE_TYPE, None)):
        found = entries[entries["tag"] == tag]
        if not found.size:
            continue
        # A 16-bit value is in the first two bytes of its field, in either byte order.
        value = int(found["short" if found["type"][0] == 3 else "long"][0])
        return not value & reduced if reduced else value != _OLD_REDUCED
    return True


def _entries(data: bytes, offset: int) -> AnyArray:
    order = "<" if data[:2] == b"II" else ">"
    is_big = b"+" in data[2:4]
    count_bytes, value_at, entry_bytes = (8, 12, 20) if is_big else (2, 8, 12)
    (count,) = np.frombuffer(data, f"{order}u{count_bytes}", 1, offset)
    fields = np.dtype(
        {
            "names": ["tag", "type", "short", "long"],
            "formats": [f"{order}u2", f"{order}u2", f"{order}u2", f"{order}u4"],
            "offsets": [0, 2, value_at, value_at],
            "itemsize": entry_bytes,
        }
    )
    return np.frombuffer(data, fields, int(count), offset + count_bytes)
