# SPDX-License-Identifier: Apache-2.0
"""COCO run-length codes, slowly and by their definition."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from hpip.types import AnyArray, UInt8Array


def runs_of_mask(mask: AnyArray) -> list[int]:
    """Alternating runs of the pixels read column by column; the first is of zeros."""
    pixels = [bool(mask[y, x]) for x in range(mask.shape[1]) for y in range(mask.shape[0])]
    runs = [len(list(group)) for _, group in groupby(pixels)]
    return [0, *runs] if not pixels or pixels[0] else runs


def string_of_runs(runs: list[int]) -> bytes:
    """COCO's compressed string: 5 bits per character, differences from the fourth run on."""
    text = ""
    for index, run in enumerate(runs):
        number = run - runs[index - 2] if index > 2 else run
        while True:
            group = number & 31
            number >>= 5
            is_last = number == (-1 if group & 16 else 0)
            text += chr(48 + group + (0 if is_last else 32))
            if is_last:
                break
    return text.encode()


def mask_of_runs(runs: list[int], size_hw: tuple[int, int]) -> UInt8Array:
    """The mask whose pixels, read column by column, are the runs."""
    values = np.arange(len(runs), dtype=np.uint8) % 2
    return np.repeat(values, runs).reshape(size_hw[::-1]).T


def bbox_of_mask(mask: AnyArray) -> tuple[int, int, int, int]:
    """(x, y, width, height) of the foreground; zeros without any."""
    ys, xs = np.nonzero(mask)
    if not len(ys):
        return 0, 0, 0, 0
    x0, y0, x1, y1 = (int(value) for value in (xs.min(), ys.min(), xs.max(), ys.max()))
    return x0, y0, x1 - x0 + 1, y1 - y0 + 1
