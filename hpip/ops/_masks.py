# SPDX-License-Identifier: Apache-2.0
"""Threshold, paste, crop and encode masks."""

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
    """Binarize values with a threshold.

    Args:
        values: any shape and strides, of bool, integers, float32 or float64. NaN is background.
        mask_threshold: finite; rounded to float32 for float32 values, exact for the others.
        inclusive: whether a value equal to the threshold is foreground.
        out: output array, uint8, same shape, C-contiguous; allocated if None. May be `values`
            itself if it has this type, but must not overlap it otherwise.
        threads: at least 1.

    Returns:
        uint8 of {0, 1} in the shape of `values`; `out` itself if given.

    Raises:
        InvalidInputError: an argument has an invalid dtype, shape or value.

    Note:
        Releases the GIL. The result does not depend on the number of threads.
    """
    array = native_array(values)
    target = np.empty(array.shape, np.uint8) if out is None else out
    _core.threshold_masks(array, mask_threshold, inclusive, target, thread_count(threads))
    return target


def crop_boxes(boxes_xyxy: ArrayLike, image_hw: tuple[int, int]) -> Int64Array:
    """Round boxes to the pixels of their crops.

    Each coordinate is clipped to the image and rounded half to even, as in PaddleX. If that leaves
    no pixels on an axis (PaddleX then returns an empty crop), the crop covers the pixels that the
    box touches, and at least one: for a box outside the image, the nearest pixel at the border.

    Args:
        boxes_xyxy: (N, 4) in pixels of the image, finite, x0 <= x1 and y0 <= y1; converted to
            float32. N may be 0.
        image_hw: the image's (H, W), each at least 1.

    Returns:
        (N, 4) int64: 0 <= x0 < x1 <= W and 0 <= y0 < y1 <= H, half-open.

    Raises:
        InvalidInputError: boxes have an invalid shape or dtype, or are NaN, infinite or inverted.
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
    """Resize masks to the image and binarize them with a threshold.

    Conventions:
        "region": `masks` (N, M, M') float32, each covering its box; sampled like Paddle's
            `grid_sample` with bilinear mode, align_corners=False and zero padding. Values fade to 0
            over half a mask pixel beyond the box, so pixels next to it can pass a low threshold.
        "image": `masks` (N, h, w) float32, each covering the whole image; resized like Paddle's
            `bilinear_interp` with align_corners=False and align_mode=0.
        "pasted": `masks` (N, H, W) of any dtype, already at the image's size; not copied.

    Args:
        masks: probabilities, logits or other values, see above; N may be 0.
        boxes_xyxy: (N, 4) in pixels of the image, finite, x0 <= x1 and y0 <= y1; clipped to the
            image. May be None unless the convention is "region" or `crop` is set.
        image_hw: the image's (H, W), each at least 1.
        convention: the part of the image that a mask covers.
        mask_threshold: finite; rounded to float32 for float32 masks.
        inclusive: whether a value equal to the threshold is foreground. NaN is background.
        crop: return only the pixels of `crop_boxes(boxes_xyxy, image_hw)`, without allocating an
            (N, H, W) array.
        out: output array, (N, H, W) uint8, C-contiguous; not with `crop`. Must not overlap `masks`.
        threads: at least 1.

    Returns:
        (N, H, W) uint8 of {0, 1}, `out` itself if given; with `crop`, a list of N uint8 arrays.

    Raises:
        InvalidInputError: an argument has an invalid rank, dtype, size or value.

    Note:
        Releases the GIL. The result does not depend on the number of threads. In the "region"
        convention, the mask of a box without width or height is all background.
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
            + (
                "no boxes_xyxy"
                if boxes is None
                else "out; leave it out, since crops differ in size"
            )
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
    """RLE-encode the box of each dense mask, without copying masks or crops.

    Args:
        masks: (K, H, W) of bool, integers, float32 or float64, with any strides.
        boxes_xyxy: (N, 4), see `crop_boxes`.
        indices: N row indices into `masks`, one per box, may repeat; None for all rows in order.
        mask_threshold: finite; rounded to float32 for float32 masks.
        inclusive: whether a value equal to the threshold is foreground. NaN is background.
        threads: at least 1; instances are distributed among them.

    Returns:
        One `RleMask` per box.

    Raises:
        InvalidInputError: an argument has an invalid rank, dtype or value, or the numbers of boxes
            and indices differ.

    Note:
        Releases the GIL. The result does not depend on the number of threads.
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
