# SPDX-License-Identifier: Apache-2.0
"""Operators that create tensors: constants and ranges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpip.graph.onnx_export.exporter import Exporter, Names, emits, refuse, short_dtype
from hpip.graph.operation import Operation

# Maximum number of elements; larger constants become an Expand of a scalar.
_MAX_STORED = 4096


@emits("full", "full_int_array", "assign_value_", "assign_value")
def _constant(out: Exporter, op: Operation) -> Sequence[Names]:
    dtype = short_dtype(op)
    if op.name == "pd_op.full":
        return [_filled(out, op.attribute("value"), dtype, op.attribute("shape"))]
    if op.name == "pd_op.full_int_array":
        return [out.constant(op.attribute("value"), dtype)]
    values = np.array(op.attribute("values")).reshape(op.attribute("shape"))
    return [out.constant(values, dtype)]


def _filled(out: Exporter, value: float, dtype: str, shape: Sequence[int]) -> str:
    if np.prod(shape, dtype=np.int64) <= _MAX_STORED:
        return out.constant(np.full(shape, value), dtype)
    return out.node("Expand", out.constant(value, dtype), out.shape_constant(shape))


@emits("full_with_tensor")
def _full_with_tensor(out: Exporter, op: Operation) -> Sequence[Names]:
    value, shape = op.inputs
    known = out.known(value)
    dtype = short_dtype(op)
    if known is None:
        filler = out.node("Squeeze", out.name(value))
    else:
        filler = out.constant(known.reshape(()), dtype)
    return [out.node("Expand", filler, out.as_index(shape))]


@emits("full_like")
def _full_like(out: Exporter, op: Operation) -> Sequence[Names]:
    value, filler = op.inputs
    known = out.known(filler)
    if known is None:
        raise refuse(op, "a computed fill value")
    kind = out.type(value)
    dtype = short_dtype(op, default=kind.dtype)
    if -1 not in kind.shape:
        return [_filled(out, known.item(), dtype, kind.shape)]
    shape = out.node("Shape", out.name(value))
    return [out.node("Expand", out.constant(known.reshape(()), dtype), shape)]


@emits("arange")
def _arange(out: Exporter, op: Operation) -> Sequence[Names]:
    dtype = short_dtype(op)
    bounds = [out.known(value) for value in op.inputs]
    known = [bound.item() for bound in bounds if bound is not None]
    if len(known) == len(bounds):
        return [out.constant(np.arange(*known), dtype)]
    names = []
    for value, bound in zip(op.inputs, bounds, strict=True):
        if bound is not None:
            names.append(out.constant(bound.reshape(()), dtype))
            continue
        name = out.name(value)
        if out.rank(value):
            name = out.node("Squeeze", name)
        names.append(name if out.type(value).dtype == dtype else out.cast(name, dtype))
    return [out.node("Range", *names)]


@emits("linspace")
def _linspace(out: Exporter, op: Operation) -> Sequence[Names]:
    start, stop, count = op.inputs
    low, high = out.known(start), out.known(stop)
    dtype = short_dtype(op)
    if low is None or high is None or dtype != "f32":
        raise refuse(op, "linspace with computed bounds, or of another type than float32")
    # Like Paddle: the first half is computed from the start, the second half from the end.
    number = out.node("Reshape", out.as_index(count), out.shape_constant([]))
    one = out.constant(1, "i64")
    position = out.node("Range", out.constant(0, "i64"), number, one)
    last = out.node("Sub", number, one)
    span = out.constant(np.float32(high.item()) - np.float32(low.item()), dtype)
    step = out.node("Div", span, out.cast(out.node("Max", last, one), dtype))
    first = out.node("Less", position, out.node("Div", number, out.constant(2, "i64")))
    ahead = out.node("Mul", step, out.cast(position, dtype))
    back = out.node("Mul", step, out.cast(out.node("Sub", last, position), dtype))
    ends = (out.constant(end.item(), dtype) for end in (low, high))
    begin, finish = ends
    pair = out.node("Add", begin, ahead), out.node("Sub", finish, back)
    return [out.node("Where", first, *pair)]
