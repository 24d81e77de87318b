# SPDX-License-Identifier: Apache-2.0
"""Indexing and sampling: gather, topk, sort, argmax, nonzero, one_hot, grid_sample."""

from __future__ import annotations

from collections.abc import Sequence

from hpip.graph.onnx_export.exporter import Exporter, Names, emits, refuse
from hpip.graph.operation import Operation


@emits("gather")
def _gather(out: Exporter, op: Operation) -> Sequence[Names]:
    value, index, axis = op.inputs
    (along,) = out.integers(op, axis)
    chosen = out.name(index)
    if out.rank(index) == 2:
        # Paddle flattens indices of shape (N, 1).
        chosen = out.node("Reshape", chosen, out.shape_constant([-1]))
    return [out.node("Gather", out.name(value), chosen, axis=along)]


@emits("gather_nd")
def _gather_nd(out: Exporter, op: Operation) -> Sequence[Names]:
    value, index = op.inputs
    chosen = out.name(index)
    if out.type(index).dtype != "i64":
        chosen = out.cast(chosen, "i64")
    return [out.node("GatherND", out.name(value), chosen)]


@emits("index_select")
def _index_select(out: Exporter, op: Operation) -> Sequence[Names]:
    value, index = op.inputs
    return [out.node("Gather", out.name(value), out.name(index), axis=op.attribute("axis"))]


@emits("take_along_axis")
def _take_along_axis(out: Exporter, op: Operation) -> Sequence[Names]:
    value, index = op.inputs
    names = out.name(value), out.name(index)
    return [out.node("GatherElements", *names, axis=op.attribute("axis"))]


@emits("nonzero")
def _nonzero(out: Exporter, op: Operation) -> Sequence[Names]:
    return [out.node("Transpose", out.node("NonZero", out.name(op.inputs[0])), perm=[1, 0])]


@emits("topk")
def _topk(out: Exporter, op: Operation) -> Sequence[Names]:
    value, count = op.inputs
    attributes = {
        "axis": op.attribute("axis"),
        "largest": int(op.attribute("largest")),
        "sorted": int(op.attribute("sorted")),
    }
    return out.node_of("TopK", [out.name(value), out.as_index(count)], 2, **attributes)


@emits("argsort")
def _argsort(out: Exporter, op: Operation) -> Sequence[Names]:
    value = op.inputs[0]
    axis = op.attribute("axis") % out.rank(value)
    name = out.name(value)
    length = out.node("Shape", name, start=axis, end=axis + 1)
    largest = int(op.attribute("descending"))
    return out.node_of("TopK", [name, length], 2, axis=axis, largest=largest, sorted=1)


@emits("argmax", "argmin")
def _arg_extremum(out: Exporter, op: Operation) -> Sequence[Names]:
    value, axis = op.inputs
    if op.attribute("flatten"):
        raise refuse(op, "an index in the flattened tensor")
    (along,) = out.integers(op, axis)
    kind = "ArgMax" if op.name == "pd_op.argmax" else "ArgMin"
    place = out.node(kind, out.name(value), axis=along, keepdims=int(op.attribute("keepdims")))
    wanted = out.type(op.outputs[0]).dtype
    return [place if wanted == "i64" else out.cast(place, wanted)]


@emits("one_hot")
def _one_hot(out: Exporter, op: Operation) -> Sequence[Names]:
    value, depth = op.inputs
    (count,) = out.integers(op, depth)
    values = out.constant([0.0, 1.0], "f32")
    return [out.node("OneHot", out.name(value), out.constant(count, "i64"), values)]


@emits("grid_sample")
def _grid_sample(out: Exporter, op: Operation) -> Sequence[Names]:
    value, grid = op.inputs
    attributes = {
        "mode": op.attribute("mode"),
        "padding_mode": op.attribute("padding_mode"),
        "align_corners": int(op.attribute("align_corners")),
    }
    return [out.node("GridSample", out.name(value), out.name(grid), **attributes)]
