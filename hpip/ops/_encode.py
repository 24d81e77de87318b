# SPDX-License-Identifier: Apache-2.0
"""From a network's low-resolution masks to run-length codes, without a pixel in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

import hpip._core as _core
from hpip.errors import InvalidInputError
from hpip.ops._arguments import (
    boxes_array,
    int_pair,
    integer_array,
    mask_stack,
    thread_count,
)
from hpip.types import Int64Array, RleMask


@dataclass(frozen=True)
class Upsampling:
    """A bilinear resize of each mask before it is pasted.

    Attributes:
        size_hw: what a mask is resized to.
        kept_hw: what is kept of that from its top left, and pasted; all of it when None.
        windows_xyxy: (N, 4) integers, for each box the pixels of `kept_hw` outside of which the
            mask is zero; half-open, may be empty. None for all.
    """

    size_hw: tuple[int, int]
    kept_hw: tuple[int, int] | None = None
    windows_xyxy: Int64Array | None = None


def encode_masks(
    masks: ArrayLike,
    boxes_xyxy: ArrayLike | None,
    image_hw: tuple[int, int],
    *,
    convention: Literal["region", "image"] = "region",
    mask_threshold: float = 0.5,
    inclusive: bool = True,
    indices: Sequence[int] | Int64Array | None = None,
    frame: Literal["crop", "image"] = "crop",
    upsampling: Upsampling | None = None,
    threads: int = 1,
) -> list[RleMask]:
    """Resize, compare and encode masks as `paste_masks` and `encode_rle` would, without pixels.

    Between source items the values along a column lie on straight lines, so that it is calculated
    where they cross the threshold. The work grows with the runs and the source, not with the
    pixels. Equal to the dense way at every pixel whose value isn't within rounding of the
    threshold; close to it, at those too that lie beside a change.

    Args:
        masks: (K, h, w) as in `paste_masks`.
        boxes_xyxy: (N, 4), see `crop_boxes`. None where nothing depends on them: not "region", and
            `frame` is "image".
        image_hw: the image's (H, W), each at least 1.
        convention: how the values lie in the image, see `paste_masks`; for masks that are "pasted"
            already there is `encode_mask_crops`.
        mask_threshold: finite; rounded to float32 for float32 values.
        inclusive: whether a value equal to the threshold is foreground. NaN never is.
        indices: N rows of `masks`, repeats allowed; all of them in order when None.
        frame: encode each box's crop, or the whole image.
        upsampling: a resize before; for convention "image" only.
        threads: at least 1; instances are shared out among them.

    Returns:
        N masks, of the boxes' crops or of the image.

    Raises:
        InvalidInputError: wrong rank, dtype, size, index, box, threshold, convention, frame,
            upsampling or `threads`.

    Note:
        Releases the GIL. Same bytes for every number of threads. Takes memory in proportion to the
        runs, one column of the source and the sides of the crop: below 1 MB per mask at 4K.
    """
    if frame not in ("crop", "image"):
        raise InvalidInputError(f"frame: expected 'crop' or 'image', received {frame!r}")
    array = mask_stack(masks)
    rows = np.arange(len(array)) if indices is None else integer_array("indices", indices)
    image_hw = int_pair("image_hw", image_hw, minimum=1)
    boxes = None if boxes_xyxy is None else boxes_array(boxes_xyxy)
    strings, windows = _core.encode_masks(
        np.ascontiguousarray(array),
        boxes,
        rows,
        image_hw,
        convention,
        mask_threshold,
        inclusive,
        frame == "image",
        *_upsampling_arguments(upsampling),
        thread_count(threads),
    )
    return [
        RleMask(counts, (y1 - y0, x1 - x0), (y0, x0))
        for counts, (x0, y0, x1, y1) in zip(strings, windows.tolist(), strict=True)
    ]


def _upsampling_arguments(
    upsampling: Upsampling | None,
) -> tuple[tuple[int, int], tuple[int, int], Int64Array | None]:
    if upsampling is None:
        return (0, 0), (0, 0), None
    size_hw = int_pair("size_hw", upsampling.size_hw, minimum=1)
    kept_hw = size_hw
    if upsampling.kept_hw is not None:
        kept_hw = int_pair("kept_hw", upsampling.kept_hw, minimum=1)
    windows = upsampling.windows_xyxy
    if windows is None:
        return size_hw, kept_hw, None
    return size_hw, kept_hw, integer_array("windows_xyxy", windows)
