# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from hpip import ops
from hpip.errors import InvalidInputError
from hpip.types import AnyArray

FLOATS = ["float32", "float64"]
INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("inclusive", [False, True])
@given(data=st.data())
def test_floats_compare_as_numpy_does(dtype: str, inclusive: bool, data: st.DataObject) -> None:
    limits = st.floats(-2, 2, width=32)
    threshold = data.draw(limits)
    elements = st.one_of(st.just(threshold), limits, st.sampled_from([np.nan, np.inf, -np.inf]))
    shapes = st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
    values = data.draw(st_numpy.arrays(dtype, shapes, elements=elements))
    expected = values >= threshold if inclusive else values > threshold
    result = ops.threshold_masks(values, threshold, inclusive=inclusive)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("inclusive", [False, True])
def test_integers_compare_with_the_exact_threshold(dtype: str, inclusive: bool) -> None:
    info = np.iinfo(dtype)
    edges = [info.min, info.min + 1, 0, 1, 2, 100, info.max - 1, info.max]
    values = np.array(edges, dtype)
    thresholds = [-1e300, -129.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 100.0, 127.5, 1e300]
    if info.bits < 64:  # a double then holds every value
        thresholds += [float(info.min), float(info.max), info.max - 0.5, info.max + 1.0]
    for threshold in thresholds:
        expected = [edge >= threshold if inclusive else edge > threshold for edge in edges]
        result = ops.threshold_masks(values, threshold, inclusive=inclusive)
        np.testing.assert_array_equal(result, expected, err_msg=str(threshold))


def test_bool_values() -> None:
    np.testing.assert_array_equal(ops.threshold_masks(np.array([True, False]), 0.5), [1, 0])


def test_threshold_is_rounded_to_the_type_of_float32_values() -> None:
    value = np.array([0.1], np.float32)
    assert ops.threshold_masks(value, 0.1, inclusive=True) == 1
    assert ops.threshold_masks(value, 0.1, inclusive=False) == 0


@pytest.mark.parametrize(
    "view",
    [
        lambda values: values[::-1, ::2, 3:],
        lambda values: values.T,
        np.asfortranarray,
        lambda values: values[:, 2],
        lambda values: values[..., ::-1],
        lambda values: np.broadcast_to(values[0, 0], (5, *values[0, 0].shape)),
        lambda values: values[1:, :0],
    ],
    ids=["slices", "transposed", "fortran", "picked", "flipped", "broadcast", "empty"],
)
def test_any_strides(view: object) -> None:
    assert callable(view)
    values = view(np.random.default_rng(0).random((6, 7, 8), np.float32))
    result = ops.threshold_masks(values, 0.5)
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, values > 0.5)


def test_threads_and_out() -> None:
    values = np.random.default_rng(0).random((3, 1023, 1531), np.float32)
    for layout in (values, values[:, ::2], values.transpose(0, 2, 1)):
        out = np.full(layout.shape, 7, np.uint8)
        for threads in (1, 4, 7):
            assert ops.threshold_masks(layout, 0.5, out=out, threads=threads) is out
            np.testing.assert_array_equal(out, layout > 0.5)


def test_values_may_be_their_own_out() -> None:
    values = np.arange(256, dtype=np.uint8)
    ops.threshold_masks(values, 99, out=values)
    np.testing.assert_array_equal(values, np.arange(256) > 99)


def _read_only() -> AnyArray:
    out = np.empty((2, 3), np.uint8)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    "out",
    [
        np.empty((2, 3), bool),
        np.empty((3, 2), np.uint8),
        np.empty((2, 3), np.uint8, order="F"),
        _read_only(),
    ],
    ids=["dtype", "shape", "fortran", "read_only"],
)
def test_an_out_that_does_not_fit_is_refused(out: AnyArray) -> None:
    with pytest.raises(InvalidInputError, match="out: expected"):
        ops.threshold_masks(np.zeros((2, 3)), 0.5, out=out)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="values: expected"):
        ops.threshold_masks(np.zeros(3, complex), 0.5)
    for threshold in (np.nan, np.inf):
        with pytest.raises(InvalidInputError, match="mask_threshold: expected"):
            ops.threshold_masks(np.zeros(3), threshold)
    for size in (0, 3):
        with pytest.raises(InvalidInputError, match="threads: expected"):
            ops.threshold_masks(np.zeros(size), 0.5, threads=0)
