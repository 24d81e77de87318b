# SPDX-License-Identifier: Apache-2.0
"""Masks from a network's values: compare, resize, paste, crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike

import hpip._core as _core
from hpip.errors import InvalidInputError
from hpip.ops._arguments import (
    boxes_array,
    int_pair,
    integer_array,
    mask_stack,
    native_array,
    thread_count,
)
from hpip.types import AnyArray, Int64Array, PasteConvention, RleMask, UInt8Array


def threshold_masks(
    values: ArrayLike,
    mask_threshold: float,
    *,
    inclusive: bool = False,
    out: UInt8Array | None = None,
    threads: int = 1,
) -> UInt8Array:
    """Turn values into {0, 1} by comparing each with a threshold.

    Args:
        values: any shape and strides, of bool, integers, float32 or float64. NaN is background.
        mask_threshold: finite; rounded to float32 for float32 values, exact for the others.
        inclusive: whether a value equal to the threshold is foreground.
        out: uint8 of the same shape, C-contiguous, to fill; allocated when None. May be `values`
            itself where that fits, but not overlap it otherwise.
        threads: at least 1.

    Returns:
        uint8 of {0, 1} in the shape of `values`; `out` itself when given.

    Raises:
        InvalidInputError: wrong dtype, threshold, `out` or `threads`.

    Note:
        Releases the GIL. Same bits for every number of threads.
    """
    array = native_array(values)
    target = np.empty(array.shape, np.uint8) if out is None else out
    _core.threshold_masks(array, mask_threshold, inclusive, target, thread_count(threads))
    return target


def crop_boxes(boxes_xyxy: ArrayLike, image_hw: tuple[int, int]) -> Int64Array:
    """Round boxes to the pixels that an instance's crop covers.

    Each coordinate is clipped to the image and rounded half to even, as PaddleX does. An axis on
    which nothing remains (PaddleX then returns an empty crop) becomes the pixels that the box
    touches, and at least one: a box outside the image gets the nearest pixel at the border.

    Args:
        boxes_xyxy: (N, 4) in pixels of the image, finite, x0 <= x1 and y0 <= y1; taken as float32.
            N may be 0.
        image_hw: the image's (H, W), each at least 1.

    Returns:
        (N, 4) int64: 0 <= x0 < x1 <= W and 0 <= y0 < y1 <= H, half-open.

    Raises:
        InvalidInputError: wrong shape or dtype; NaN, infinite or inverted boxes.
    """
    return _core.crop_boxes(boxes_array(boxes_xyxy), int_pair("image_hw", image_hw, minimum=1))


@overload
def paste_masks(
    masks: ArrayLike,
    boxes_xyxy: ArrayLike | None,
    image_hw: tuple[int, int],
    *,
    convention: PasteConvention = ...,
    mask_threshold: float = ...,
    inclusive: bool = ...,
    crop: Literal[False] = ...,
    out: UInt8Array | None = ...,
    threads: int = ...,
) -> UInt8Array: ...
@overload
def paste_masks(
    masks: ArrayLike,
    boxes_xyxy: ArrayLike,
    image_hw: tuple[int, int],
    *,
    convention: PasteConvention = ...,
    mask_threshold: float = ...,
    inclusive: bool = ...,
    crop: Literal[True],
    out: None = ...,
    threads: int = ...,
) -> list[UInt8Array]: ...
def paste_masks(
    masks: ArrayLike,
    boxes_xyxy: ArrayLike | None,
    image_hw: tuple[int, int],
    *,
    convention: PasteConvention = "region",
    mask_threshold: float = 0.5,
    inclusive: bool = True,
    crop: bool = False,
    out: UInt8Array | None = None,
    threads: int = 1,
) -> UInt8Array | list[UInt8Array]:
    """Resize each instance's values to the image and compare them with a threshold.

    Conventions, by what `masks` holds:
        "region": (N, M, M') float32 over each box, sampled bilinearly as Paddle's `grid_sample`
            does with align_corners=False and zeros outside; a value fades to 0 over half a cell
            beyond the box, so that pixels just outside can pass a low threshold.
        "image": (N, h, w) float32 over the whole image, resized as Paddle's `bilinear_interp`
            does with align_corners=False and align_mode=0.
        "pasted": (N, H, W) of any dtype: one value per pixel, not copied.

    Args:
        masks: as above; N may be 0. Probabilities, logits or whatever the threshold speaks of.
        boxes_xyxy: (N, 4) in pixels of the image, finite, x0 <= x1 and y0 <= y1; parts outside are
            clipped. None where nothing depends on them: not "region" and not `crop`.
        image_hw: the image's (H, W), each at least 1.
        convention: how the values lie in the image.
        mask_threshold: finite; rounded to float32 for float32 values.
        inclusive: whether a value equal to the threshold is foreground. NaN never is.
        crop: return only the pixels of `crop_boxes(boxes_xyxy, image_hw)`, made one by one and
            never as an (N, H, W) array.
        out: (N, H, W) uint8, C-contiguous, to fill; not with `crop`. Must not overlap `masks`.
        threads: at least 1.

    Returns:
        (N, H, W) uint8 of {0, 1}, `out` itself when given; with `crop` a list of N uint8 arrays.

    Raises:
        InvalidInputError: wrong rank, dtype, size, box, threshold, convention, `out` or `threads`.

    Note:
        Releases the GIL. Same bits for every number of threads. A box without width or height
        has no pixels in the "region" convention: its mask is all background.
    """
    array = mask_stack(masks)
    if convention != "pasted":
        array = np.ascontiguousarray(array)
    image_hw = int_pair("image_hw", image_hw, minimum=1)
    boxes = None if boxes_xyxy is None else boxes_array(boxes_xyxy)
    if not crop:
        target = np.empty((len(array), *image_hw), np.uint8) if out is None else out
        _core.paste_masks(
            array,
            boxes,
            image_hw,
            convention,
            mask_threshold,
            inclusive,
            target,
            thread_count(threads),
        )
        return target
    if boxes is None or out is not None:
        raise InvalidInputError(
            "crop=True: expected boxes_xyxy and no out, received "
            + ("no boxes_xyxy" if boxes is None else "an out; the crops are allocated one by one")
        )
    return _core.paste_mask_crops(
        array, boxes, image_hw, convention, mask_threshold, inclusive, thread_count(threads)
    )


def encode_mask_crops(
    masks: AnyArray,
    boxes_xyxy: ArrayLike,
    *,
    indices: Sequence[int] | Int64Array | None = None,
    mask_threshold: float = 0.5,
    inclusive: bool = False,
    threads: int = 1,
) -> list[RleMask]:
    """Encode the box of each dense mask, straight from a network's output.

    Neither the masks nor the crops are copied.

    Args:
        masks: (K, H, W) of bool, integers, float32 or float64, with any strides.
        boxes_xyxy: (N, 4), see `crop_boxes`.
        indices: N rows of `masks`, one for each box, repeats allowed; all of them in order when
            None.
        mask_threshold: finite; rounded to float32 for float32 masks.
        inclusive: whether a value equal to the threshold is foreground. NaN never is.
        threads: at least 1; instances are shared out among them.

    Returns:
        One `RleMask` for each box.

    Raises:
        InvalidInputError: wrong rank, dtype, index, box, threshold or `threads`, or not as many
            boxes as indices.

    Note:
        Releases the GIL. Same bytes for every number of threads.
    """
    array = mask_stack(masks)
    rows = np.arange(len(array)) if indices is None else integer_array("indices", indices)
    strings, crops = _core.encode_mask_crops(
        array,
        boxes_array(boxes_xyxy),
        rows,
        mask_threshold,
        inclusive,
        thread_count(threads),
    )
    return [
        RleMask(counts, (y1 - y0, x1 - x0), (y0, x0))
        for counts, (x0, y0, x1, y1) in zip(strings, crops.tolist(), strict=True)
    ]
