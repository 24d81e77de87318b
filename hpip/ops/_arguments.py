# SPDX-License-Identifier: Apache-2.0
"""Validates and converts the arguments of operators for the kernels."""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import ArrayLike

from hpip.errors import InvalidInputError
from hpip.types import AnyArray, Float32Array, Int64Array

_LARGEST_INT32 = 2**31 - 1


def int_pair(name: str, value: tuple[int, int], minimum: int = 0) -> tuple[int, int]:
    """Validate a (rows, columns) pair of any integer type."""
    try:
        first, second = (operator.index(item) for item in value)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"{name}: expected two integers (rows, columns), received {value!r}"
        ) from error
    if not all(minimum <= item <= _LARGEST_INT32 for item in (first, second)):
        raise InvalidInputError(
            f"{name}: expected integers from {minimum} to {_LARGEST_INT32}, received {value!r}"
        )
    return first, second


def thread_count(value: int) -> int:
    """Validate a number of threads of any integer type."""
    try:
        threads = operator.index(value)
    except TypeError as error:
        raise InvalidInputError(
            f"threads: expected an integer of at least 1, received {value!r}"
        ) from error
    if not 1 <= threads <= _LARGEST_INT32:
        raise InvalidInputError(f"threads: expected at least 1, received {value!r}")
    return threads


def native_array(value: ArrayLike) -> AnyArray:
    """The array itself, or a copy if it is misaligned or has a non-native byte order."""
    array = np.asarray(value)
    return np.require(array, dtype=array.dtype.newbyteorder("="), requirements="A")


def mask_stack(value: ArrayLike) -> AnyArray:
    """As `native_array`, for an array of rank 3."""
    masks = native_array(value)
    if masks.ndim != 3:
        raise InvalidInputError(
            f"masks: expected (N, height, width), received an array of shape {masks.shape}"
        )
    return masks


def boxes_array(value: ArrayLike) -> Float32Array:
    """Boxes as C-contiguous float32, converted from any real type."""
    boxes = np.asarray(value)
    if boxes.dtype.kind not in "biuf":
        raise InvalidInputError(
            f"boxes_xyxy: expected real numbers, received an array of {boxes.dtype}"
        )
    with np.errstate(over="ignore"):  # overflows become infinities, which the kernels reject
        return np.ascontiguousarray(boxes, dtype=np.float32)


def integer_array(name: str, value: ArrayLike) -> Int64Array:
    """Integers as C-contiguous int64."""
    numbers = np.asarray(value)
    if numbers.size and numbers.dtype.kind not in "iu":
        raise InvalidInputError(f"{name}: expected integers, received {numbers.dtype}")
    return np.ascontiguousarray(numbers, dtype=np.int64)


def real_array(name: str, value: ArrayLike) -> AnyArray:
    """Validate an array of any real type."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise InvalidInputError(
            f"{name}: expected real numbers, received an array of {array.dtype}"
        )
    return array


def float32_array(name: str, value: ArrayLike) -> Float32Array:
    """A C-contiguous float32 array; other types are rejected, not converted."""
    array = real_array(name, value)
    if array.dtype.kind != "f" or array.dtype.itemsize != 4:
        raise InvalidInputError(
            f"{name}: expected float32, received an array of {array.dtype}; pass .astype('float32')"
        )
    return np.ascontiguousarray(array, dtype=np.float32)


def int32(name: str, value: int) -> int:
    """Validate a 32-bit integer of any integer type."""
    try:
        number = operator.index(value)
    except TypeError as error:
        raise InvalidInputError(f"{name}: expected an integer, received {value!r}") from error
    if not -_LARGEST_INT32 - 1 <= number <= _LARGEST_INT32:
        raise InvalidInputError(f"{name}: expected a 32-bit integer, received {value!r}")
    return number
