# SPDX-License-Identifier: Apache-2.0
"""COCO run-length codes of masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

import hpip._core as _core
from hpip.errors import InvalidInputError
from hpip.ops._arguments import int_pair, native_array, thread_count
from hpip.types import Float64Array, UInt8Array


def encode_rle(mask: ArrayLike, *, threads: int = 1) -> bytes:
    """Encode a mask as COCO's compressed run-length string.

    Byte for byte the `counts` of `pycocotools.mask.encode` for the same foreground.

    Args:
        mask: (H, W) of bool, integers, float32 or float64, with any strides; what is not 0 is
            foreground (so NaN is, as in numpy). Not copied. H or W may be 0. At most 2**32 - 1
            pixels.
        threads: at least 1.

    Returns:
        Runs of the pixels read column by column, starting with zeros; b"0" for a mask without
        pixels. The size is not in the string: keep it.

    Raises:
        InvalidInputError: wrong rank, dtype, size or `threads`.

    Note:
        Releases the GIL. Same bytes for every number of threads.
    """
    return _core.encode_rle(native_array(mask), thread_count(threads))


def decode_rle(counts: bytes | str, size_hw: tuple[int, int], *, threads: int = 1) -> UInt8Array:
    """Decode COCO's compressed run-length string into a dense mask.

    Args:
        counts: the string, of ours or of another tool; checked, so it may come from anywhere.
        size_hw: the mask's (H, W), each at least 0.
        threads: at least 1.

    Returns:
        (H, W) uint8 of {0, 1}, C-contiguous.

    Raises:
        InvalidInputError: `counts` is no such string, is truncated, holds negative or too large
            runs, or does not cover exactly H * W pixels.

    Note:
        Releases the GIL. Nothing of the mask's size is allocated before `counts` is found right.
    """
    return _core.decode_rle(
        _checked_bytes(counts), int_pair("size_hw", size_hw), thread_count(threads)
    )


def rle_area(counts: bytes | str) -> int:
    """Number of foreground pixels of a run-length string, without decoding it.

    Raises:
        InvalidInputError: `counts` is no run-length string. Whether it fits a size isn't known.
    """
    return _core.rle_area(_checked_bytes(counts))


def rle_to_bbox(counts: bytes | str, size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """Smallest box around the foreground, without decoding.

    Args:
        counts: run-length string.
        size_hw: the mask's (H, W).

    Returns:
        (x, y, width, height) in pixels, as `pycocotools.mask.toBbox`; all 0 without foreground.

    Raises:
        InvalidInputError: `counts` is no run-length string or does not cover H * W pixels.
    """
    return _core.rle_to_bbox(_checked_bytes(counts), int_pair("size_hw", size_hw))


def merge_rle(
    counts: bytes | str,
    crop_hw: tuple[int, int],
    offset_yx: tuple[int, int],
    image_hw: tuple[int, int],
) -> bytes:
    """Lay a crop's run-length string into the frame of the whole image.

    Equals `encode_rle` of the image's dense mask, which is never made: the work grows with the
    runs, not with the pixels.

    Args:
        counts: run-length string of the crop.
        crop_hw: the crop's (height, width).
        offset_yx: the crop's top left pixel in the image, each at least 0.
        image_hw: the image's (H, W); the crop must lie inside.

    Returns:
        Run-length string of the (H, W) mask that is background outside the crop.

    Raises:
        InvalidInputError: `counts` is no run-length string of the crop's size, or the crop does not
            lie inside the image.
    """
    return _core.merge_rle(
        _checked_bytes(counts),
        int_pair("crop_hw", crop_hw),
        int_pair("offset_yx", offset_yx),
        int_pair("image_hw", image_hw),
    )


def crop_rle(
    counts: bytes | str,
    size_hw: tuple[int, int],
    offset_yx: tuple[int, int],
    crop_hw: tuple[int, int],
) -> bytes:
    """Cut a window out of a run-length string, the inverse of `merge_rle`.

    Equals `encode_rle(mask[y : y + height, x : x + width])` of the dense mask, which is never made.

    Args:
        counts: run-length string of the mask.
        size_hw: the mask's (H, W).
        offset_yx: the window's top left pixel in the mask, each at least 0.
        crop_hw: the window's (height, width); the window must lie inside the mask.

    Raises:
        InvalidInputError: `counts` is no run-length string of the mask's size, or the window does
            not lie inside the mask.
    """
    return _core.crop_rle(
        _checked_bytes(counts),
        int_pair("size_hw", size_hw),
        int_pair("offset_yx", offset_yx),
        int_pair("crop_hw", crop_hw),
    )


def rle_union(counts: Sequence[bytes | str], size_hw: tuple[int, int]) -> bytes:
    """Run-length string of what is foreground in any of the masks, as pycocotools' `merge`.

    Args:
        counts: one or more run-length strings.
        size_hw: (H, W) of each of the masks.

    Raises:
        InvalidInputError: no string, or one that does not cover H * W pixels.
    """
    return _core.combine_rle(_all_checked(counts), int_pair("size_hw", size_hw), False)


def rle_intersection(counts: Sequence[bytes | str], size_hw: tuple[int, int]) -> bytes:
    """As `rle_union`, of what is foreground in all of the masks."""
    return _core.combine_rle(_all_checked(counts), int_pair("size_hw", size_hw), True)


def rle_iou(
    counts: Sequence[bytes | str],
    others: Sequence[bytes | str],
    size_hw: tuple[int, int],
    *,
    is_crowd: ArrayLike | None = None,
) -> Float64Array:
    """Intersection over union of each mask with each of the others, as pycocotools' `iou`.

    Args:
        counts: N run-length strings, the detections.
        others: M run-length strings, the ground truth.
        size_hw: (H, W) of each of the masks.
        is_crowd: (M,) whether to divide by the detection's area instead of the union's; nowhere
            when None.

    Returns:
        (N, M) float64; 0 where nothing is shared.

    Raises:
        InvalidInputError: a string does not cover H * W pixels, or `is_crowd` has another shape.
    """
    texts, other_texts = _all_checked(counts), _all_checked(others)
    crowd = np.zeros(len(other_texts), bool) if is_crowd is None else np.asarray(is_crowd, bool)
    if crowd.shape != (len(other_texts),):
        raise InvalidInputError(
            f"is_crowd: expected {len(other_texts)} truth values, received shape {crowd.shape}"
        )
    shared = _core.rle_shared_areas(texts, other_texts, int_pair("size_hw", size_hw))
    areas = np.array([_core.rle_area(text) for text in texts], np.int64)
    other_areas = np.array([_core.rle_area(text) for text in other_texts], np.int64)
    union = areas[:, None] + np.where(crowd, 0, other_areas - shared)
    iou: Float64Array = shared / np.where(shared == 0, 1, union)
    return iou


def _all_checked(counts: Sequence[bytes | str]) -> list[bytes]:
    if isinstance(counts, bytes | str):
        raise InvalidInputError("counts: expected a sequence of run-length strings, received one")
    return [_checked_bytes(text) for text in counts]


def _checked_bytes(counts: bytes | str) -> bytes:
    if isinstance(counts, bytes):
        return counts
    if not isinstance(counts, str):
        raise InvalidInputError(
            f"counts: expected COCO's compressed string as bytes or str, received "
            f"{type(counts).__name__}; encode uncompressed runs first"
        )
    try:
        return counts.encode("ascii")
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            "counts: expected the characters '0' to 'o', received others than ASCII"
        ) from error
