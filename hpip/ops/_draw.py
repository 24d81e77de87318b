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
    """Replace the values of the pixels under each mask, in place, one mask after the other.

    No mask is made dense, and each touched pixel is visited once per mask.

    Args:
        image: (H, W, 3) uint8, changed; rows may have any stride.
        masks: N masks whose crops lie inside the image.
        levels: (N, 3, 256) uint8, C-contiguous: what each value becomes, per mask and channel.
        threads: at least 1; each takes a band of rows.

    Raises:
        InvalidInputError: wrong dtype, shape or layout, a crop outside the image, counts that do
            not cover their crop, or `threads`.

    Note:
        Releases the GIL. Same bits for every number of threads.
    """
    if not isinstance(image, np.ndarray) or not isinstance(levels, np.ndarray):
        raise InvalidInputError("image, levels: expected numpy arrays, received others")
    _core.map_masked_levels(
        image,
        [mask.counts for mask in masks],
        [int_pair("crop_hw", mask.crop_hw) for mask in masks],
        [int_pair("offset_yx", mask.offset_yx) for mask in masks],
        levels,
        thread_count(threads),
    )
