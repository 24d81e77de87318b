# SPDX-License-Identifier: Apache-2.0
"""Turns what callers pass into what the kernels take."""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import ArrayLike

from hpip.errors import InvalidInputError
from hpip.types import AnyArray, Float32Array, Int64Array

_LARGEST_INT32 = 2**31 - 1


def int_pair(name: str, value: tuple[int, int], minimum: int = 0) -> tuple[int, int]:
    """Checks two numbers of rows and columns, whatever integers they are."""
    try:
        first, second = (operator.index(item) for item in value)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"{name}: expected two whole numbers (rows, columns), received {value!r}"
        ) from error
    if not all(minimum <= item <= _LARGEST_INT32 for item in (first, second)):
        raise InvalidInputError(
            f"{name}: expected whole numbers from {minimum} to {_LARGEST_INT32}, received {value!r}"
        )
    return first, second


def thread_count(value: int) -> int:
    """Checks a number of threads, whatever integer it is."""
    try:
        threads = operator.index(value)
    except TypeError as error:
        raise InvalidInputError(
            f"threads: expected a whole number of at least 1, received {value!r}"
        ) from error
    if not 1 <= threads <= _LARGEST_INT32:
        raise InvalidInputError(f"threads: expected at least 1, received {value!r}")
    return threads


def native_array(value: ArrayLike) -> AnyArray:
    """The array itself, or a copy if it is misaligned or in foreign byte order."""
    array = np.asarray(value)
    return np.require(array, dtype=array.dtype.newbyteorder("="), requirements="A")


def mask_stack(value: ArrayLike) -> AnyArray:
    """As `native_array`, of three axes."""
    masks = native_array(value)
    if masks.ndim != 3:
        raise InvalidInputError(
            f"masks: expected (N, height, width), received an array of shape {masks.shape}"
        )
    return masks


def boxes_array(value: ArrayLike) -> Float32Array:
    """Boxes as C-contiguous float32, converted from any real numbers."""
    boxes = np.asarray(value)
    if boxes.dtype.kind not in "biuf":
        raise InvalidInputError(
            f"boxes_xyxy: expected real numbers, received an array of {boxes.dtype}"
        )
    with np.errstate(over="ignore"):  # becomes an infinity, which the kernels refuse
        return np.ascontiguousarray(boxes, dtype=np.float32)


def integer_array(name: str, value: ArrayLike) -> Int64Array:
    """Whole numbers as C-contiguous int64."""
    numbers = np.asarray(value)
    if numbers.size and numbers.dtype.kind not in "iu":
        raise InvalidInputError(f"{name}: expected integers, received {numbers.dtype}")
    return np.ascontiguousarray(numbers, dtype=np.int64)


def real_array(name: str, value: ArrayLike) -> AnyArray:
    """An array of real numbers of any type."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise InvalidInputError(
            f"{name}: expected real numbers, received an array of {array.dtype}"
        )
    return array


def float32_array(name: str, value: ArrayLike) -> Float32Array:
    """A C-contiguous float32 array; other types are refused, not converted."""
    array = real_array(name, value)
    if array.dtype.kind != "f" or array.dtype.itemsize != 4:
        raise InvalidInputError(
            f"{name}: expected float32, received an array of {array.dtype}; pass .astype('float32')"
        )
    return np.ascontiguousarray(array, dtype=np.float32)


def whole_numbers(name: str, value: ArrayLike) -> Int64Array:
    """Integers as C-contiguous int64."""
    array = np.asarray(value)
    if array.size and array.dtype.kind not in "iu":
        raise InvalidInputError(f"{name}: expected whole numbers, received {array.dtype}")
    return np.ascontiguousarray(array, dtype=np.int64)


def int32(name: str, value: int) -> int:
    """Checks a whole number of 32 bits, whatever integer it is."""
    try:
        number = operator.index(value)
    except TypeError as error:
        raise InvalidInputError(f"{name}: expected a whole number, received {value!r}") from error
    if not -_LARGEST_INT32 - 1 <= number <= _LARGEST_INT32:
        raise InvalidInputError(f"{name}: expected a number of 32 bits, received {value!r}")
    return number
