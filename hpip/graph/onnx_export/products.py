# SPDX-License-Identifier: Apache-2.0
"""Matrix products, softmax and reductions."""

from __future__ import annotations

from collections.abc import Sequence

from hpip.graph.onnx_export.exporter import Exporter, Names, emits, refuse, short_dtype
from hpip.graph.operation import Operation

_REDUCTIONS = {"max": "ReduceMax", "min": "ReduceMin", "amax": "ReduceMax", "amin": "ReduceMin"}


@emits("matmul")
def _matmul(out: Exporter, op: Operation) -> Sequence[Names]:
    names = []
    for value, attribute in zip(op.inputs, ("transpose_x", "transpose_y"), strict=True):
        name, rank = out.name(value), out.rank(value)
        if op.attribute(attribute) and rank > 1:
            order = [*range(rank - 2), rank - 1, rank - 2]
            name = out.node("Transpose", name, perm=order)
        names.append(name)
    return [out.node("MatMul", *names)]


@emits("bmm", "mv", "dot_product")
def _bmm(out: Exporter, op: Operation) -> Sequence[Names]:
    left, right = op.inputs
    return [out.node("MatMul", out.name(left), out.name(right))]


@emits("softmax", "softmax_")
def _softmax(out: Exporter, op: Operation) -> Sequence[Names]:
    return [out.node("Softmax", out.name(op.inputs[0]), axis=op.attribute("axis"))]


@emits("log_softmax")
def _log_softmax(out: Exporter, op: Operation) -> Sequence[Names]:
    return [out.node("LogSoftmax", out.name(op.inputs[0]), axis=op.attribute("axis"))]


@emits("mean")
def _mean(out: Exporter, op: Operation) -> Sequence[Names]:
    return [_reduce(out, op, "ReduceMean", out.name(op.inputs[0]), _axes(out, op))]


@emits(*_REDUCTIONS)
def _extremum(out: Exporter, op: Operation) -> Sequence[Names]:
    kind = _REDUCTIONS[op.name.removeprefix("pd_op.")]
    return [_reduce(out, op, kind, out.name(op.inputs[0]), _axes(out, op))]


@emits("sum")
def _sum(out: Exporter, op: Operation) -> Sequence[Names]:
    value = op.inputs[0]
    kind = out.type(value).dtype
    wanted = short_dtype(op, default="i64" if kind in ("bool", "i32") else kind)
    name = out.name(value) if wanted == kind else out.cast(out.name(value), wanted)
    axes = out.shape_constant(_axes(out, op))
    return [out.node("ReduceSum", name, axes, keepdims=int(op.attribute("keepdim")))]


@emits("any", "all")
def _any(out: Exporter, op: Operation) -> Sequence[Names]:
    kind = "ReduceMax" if op.name == "pd_op.any" else "ReduceMin"
    number = out.cast(out.name(op.inputs[0]), "i32")
    return [out.cast(_reduce(out, op, kind, number, _axes(out, op)), "bool")]


def _axes(out: Exporter, op: Operation) -> list[int]:
    """The axes of a reduction, from attribute or operand; all axes if there are none."""
    axes = out.integers(op, op.inputs[1]) if len(op.inputs) > 1 else list(op.attribute("axis"))
    return axes or list(range(out.rank(op.inputs[0])))


def _reduce(out: Exporter, op: Operation, kind: str, name: str, axes: list[int]) -> str:
    return out.node(kind, name, axes=axes, keepdims=int(op.attribute("keepdim")))


@emits("cumsum")
def _cumsum(out: Exporter, op: Operation) -> Sequence[Names]:
    value, axis = op.inputs
    if op.attribute("flatten"):
        raise refuse(op, "a cumulative sum over the flattened tensor")
    (along,) = out.integers(op, axis)
    return [
        out.node(
            "CumSum",
            out.name(value),
            out.constant(along, "i64"),
            exclusive=int(op.attribute("exclusive")),
            reverse=int(op.attribute("reverse")),
        )
    ]
