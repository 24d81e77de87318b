# SPDX-License-Identifier: Apache-2.0
"""COCO run-length encoding (RLE) of masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

import hpip._core as _core
from hpip.errors import InvalidInputError
from hpip.ops._arguments import int_pair, native_array, thread_count
from hpip.types import Float64Array, UInt8Array


def encode_rle(mask: ArrayLike, *, threads: int = 1) -> bytes:
    """Encode a mask as COCO's compressed RLE.

    The result equals `counts` of `pycocotools.mask.encode` for the same foreground.

    Args:
        mask: (H, W) of bool, integers, float32 or float64, with any strides; not copied. Nonzero
            values are foreground (including NaN, as in NumPy). H or W may be 0. At most 2**32 - 1
            pixels.
        threads: at least 1.

    Returns:
        Compressed counts of the runs in column-major order, starting with zeros; b"0" for a mask
        without pixels. They do not contain the size of the mask.

    Raises:
        InvalidInputError: an argument has an invalid rank, dtype, size or value.

    Note:
        Releases the GIL. The result does not depend on the number of threads.
    """
    return _core.encode_rle(native_array(mask), thread_count(threads))


def decode_rle(counts: bytes | str, size_hw: tuple[int, int], *, threads: int = 1) -> UInt8Array:
    """Decode COCO's compressed RLE to a dense mask.

    Args:
        counts: compressed RLE of hpip or another tool; it is validated, so untrusted data is safe.
        size_hw: the mask's (H, W), each at least 0.
        threads: at least 1.

    Returns:
        (H, W) uint8 of {0, 1}, C-contiguous.

    Raises:
        InvalidInputError: `counts` is not a compressed RLE, is truncated, has negative or too large
            runs, or does not cover exactly H * W pixels.

    Note:
        Releases the GIL. The mask is allocated only after `counts` has been validated.
    """
    return _core.decode_rle(
        _checked_bytes(counts), int_pair("size_hw", size_hw), thread_count(threads)
    )


def rle_area(counts: bytes | str) -> int:
    """Number of foreground pixels of an RLE, without decoding it.

    Raises:
        InvalidInputError: `counts` is not a compressed RLE. Its size is not validated.
    """
    return _core.rle_area(_checked_bytes(counts))


def rle_to_bbox(counts: bytes | str, size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """Bounding box of the foreground of an RLE, without decoding it.

    Args:
        counts: compressed RLE.
        size_hw: the mask's (H, W).

    Returns:
        (x, y, width, height) in pixels, like `pycocotools.mask.toBbox`; all 0 without foreground.

    Raises:
        InvalidInputError: `counts` is not a compressed RLE or does not cover H * W pixels.
    """
    return _core.rle_to_bbox(_checked_bytes(counts), int_pair("size_hw", size_hw))


def merge_rle(
    counts: bytes | str,
    crop_hw: tuple[int, int],
    offset_yx: tuple[int, int],
    image_hw: tuple[int, int],
) -> bytes:
    """Convert the RLE of a crop to an RLE of the whole image.

    Equals `encode_rle` of the image's dense mask, without allocating it: the cost is proportional
    to the number of runs, not pixels.

    Args:
        counts: RLE of the crop.
        crop_hw: the crop's (height, width).
        offset_yx: the crop's top left pixel in the image, each at least 0.
        image_hw: the image's (H, W); the crop must lie inside.

    Returns:
        RLE of the (H, W) mask, which is background outside the crop.

    Raises:
        InvalidInputError: `counts` is not a compressed RLE of the crop's size, or the crop is not
            inside the image.
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
    """RLE of a window of a mask; the inverse of `merge_rle`.

    Equals `encode_rle(mask[y : y + height, x : x + width])`, without decoding the mask.

    Args:
        counts: RLE of the mask.
        size_hw: the mask's (H, W).
        offset_yx: the window's top left pixel in the mask, each at least 0.
        crop_hw: the window's (height, width); the window must lie inside the mask.

    Raises:
        InvalidInputError: `counts` is not a compressed RLE of the mask's size, or the window is not
            inside the mask.
    """
    return _core.crop_rle(
        _checked_bytes(counts),
        int_pair("size_hw", size_hw),
        int_pair("offset_yx", offset_yx),
        int_pair("crop_hw", crop_hw),
    )


def rle_union(counts: Sequence[bytes | str], size_hw: tuple[int, int]) -> bytes:
    """RLE of the union of masks, like `pycocotools.mask.merge`.

    Args:
        counts: one or more RLEs.
        size_hw: (H, W) of each mask.

    Raises:
        InvalidInputError: there are no RLEs, or one does not cover H * W pixels.
    """
    return _core.combine_rle(_all_checked(counts), int_pair("size_hw", size_hw), False)


def rle_intersection(counts: Sequence[bytes | str], size_hw: tuple[int, int]) -> bytes:
    """RLE of the intersection of masks; arguments as for `rle_union`."""
    return _core.combine_rle(_all_checked(counts), int_pair("size_hw", size_hw), True)


def rle_iou(
    counts: Sequence[bytes | str],
    others: Sequence[bytes | str],
    size_hw: tuple[int, int],
    *,
    is_crowd: ArrayLike | None = None,
) -> Float64Array:
    """Pairwise intersection over union (IoU) of masks, like `pycocotools.mask.iou`.

    Args:
        counts: N RLEs, the detections.
        others: M RLEs, the ground truth.
        size_hw: (H, W) of each mask.
        is_crowd: (M,) booleans: divide by the area of the detection instead of the union; None for
            all False.

    Returns:
        (N, M) float64; 0 for an empty intersection.

    Raises:
        InvalidInputError: an RLE does not cover H * W pixels, or `is_crowd` has another shape.
    """
    texts, other_texts = _all_checked(counts), _all_checked(others)
    crowd = np.zeros(len(other_texts), bool) if is_crowd is None else np.asarray(is_crowd, bool)
    if crowd.shape != (len(other_texts),):
        raise InvalidInputError(
            f"is_crowd: expected {len(other_texts)} booleans, received shape {crowd.shape}"
        )
    shared = _core.rle_shared_areas(texts, other_texts, int_pair("size_hw", size_hw))
    areas = np.array([_core.rle_area(text) for text in texts], np.int64)
    other_areas = np.array([_core.rle_area(text) for text in other_texts], np.int64)
    union = areas[:, None] + np.where(crowd, 0, other_areas - shared)
    iou: Float64Array = shared / np.where(shared == 0, 1, union)
    return iou


def _all_checked(counts: Sequence[bytes | str]) -> list[bytes]:
    if isinstance(counts, bytes | str):
        raise InvalidInputError("counts: expected a sequence of RLEs, received one; pass [counts]")
    return [_checked_bytes(text) for text in counts]


def _checked_bytes(counts: bytes | str) -> bytes:
    if isinstance(counts, bytes):
        return counts
    if not isinstance(counts, str):
        raise InvalidInputError(
            f"counts: expected COCO's compressed RLE as bytes or str, received "
            f"{type(counts).__name__}; compress an uncompressed RLE first, for example with "
            "pycocotools.mask.frPyObjects"
        )
    try:
        return counts.encode("ascii")
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            "counts: expected the characters '0' to 'o' of a compressed RLE, received others"
        ) from error
