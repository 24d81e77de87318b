# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import hpip._core as _core
from hpip.errors import InvalidInputError
from hpip.ops._arguments import int_pair, thread_count
from hpip.types import RleMask, UInt8Array


def map_masked_levels(
    image: UInt8Array, masks: Sequence[RleMask], levels: UInt8Array, *, threads: int = 1
) -> None:
    """Apply a lookup table to the pixels under each mask, in place, one mask after the other.

    Masks are not decoded to dense arrays; each foreground pixel is visited once per mask.

    Args:
        image: (H, W, 3) uint8, modified in place; rows may have any stride.
        masks: N masks; their crops must be inside the image.
        levels: (N, 3, 256) uint8, C-contiguous: lookup table per mask and channel.
        threads: at least 1; each processes a band of rows.

    Raises:
        InvalidInputError: wrong dtype, shape or layout, a crop outside the image, counts that do
            not cover their crop, or `threads`.

    Note:
        Releases the GIL. The result does not depend on the number of threads.
    """
    if not isinstance(image, np.ndarray) or not isinstance(levels, np.ndarray):
        raise InvalidInputError(
            f"image, levels: expected numpy arrays, received {type(image).__name__} and "
            f"{type(levels).__name__}; pass numpy.asarray(...)"
        )
    _core.map_masked_levels(
        image,
        [mask.counts for mask in masks],
        [int_pair("crop_hw", mask.crop_hw) for mask in masks],
        [int_pair("offset_yx", mask.offset_yx) for mask in masks],
        levels,
        thread_count(threads),
    )
