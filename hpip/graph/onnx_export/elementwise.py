# SPDX-License-Identifier: Apache-2.0
"""Elementwise operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpip.graph.onnx_export.exporter import Exporter, Names, emits, refuse, short_dtype
from hpip.graph.operation import Operation

_UNARY = {
    "abs": "Abs",
    "ceil": "Ceil",
    "cos": "Cos",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "logical_not": "Not",
    "reciprocal": "Reciprocal",
    "relu": "Relu",
    # Ties go to even, as in Paddle 3.2; Paddle 3.0 rounds them away from zero.
    "round": "Round",
    "sigmoid": "Sigmoid",
    "sign": "Sign",
    "sin": "Sin",
    "softsign": "Softsign",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
}
_BINARY = {
    "add": "Add",
    "divide": "Div",
    "elementwise_pow": "Pow",
    "equal": "Equal",
    "greater_equal": "GreaterOrEqual",
    "greater_than": "Greater",
    "less_equal": "LessOrEqual",
    "less_than": "Less",
    "logical_and": "And",
    "logical_or": "Or",
    "logical_xor": "Xor",
    "maximum": "Max",
    "minimum": "Min",
    "multiply": "Mul",
    "subtract": "Sub",
}


@emits(*_UNARY, *(f"{name}_" for name in ("relu", "sigmoid", "exp", "sqrt", "tanh")))
def _unary(out: Exporter, op: Operation) -> Sequence[Names]:
    kind = _UNARY[op.name.removeprefix("pd_op.").removesuffix("_")]
    return [out.node(kind, out.name(op.inputs[0]))]


@emits(*_BINARY, *(f"{name}_" for name in ("add", "subtract", "multiply", "divide")))
def _binary(out: Exporter, op: Operation) -> Sequence[Names]:
    kind = _BINARY[op.name.removeprefix("pd_op.").removesuffix("_")]
    left, right = op.inputs
    return [out.node(kind, out.name(left), out.name(right))]


@emits("not_equal")
def _not_equal(out: Exporter, op: Operation) -> Sequence[Names]:
    left, right = op.inputs
    return [out.node("Not", out.node("Equal", out.name(left), out.name(right)))]


@emits("floor_divide")
def _floor_divide(out: Exporter, op: Operation) -> Sequence[Names]:
    left, right = (out.name(value) for value in op.inputs)
    if out.type(op.inputs[0]).dtype.startswith("f"):
        return [out.node("Floor", out.node("Div", left, right))]
    # ONNX truncates integer division towards zero; its Mod is the remainder of floor division.
    whole = out.node("Sub", left, out.node("Mod", left, right))
    return [out.node("Div", whole, right)]


@emits("remainder")
def _remainder(out: Exporter, op: Operation) -> Sequence[Names]:
    left, right = (out.name(value) for value in op.inputs)
    if not out.type(op.inputs[0]).dtype.startswith("f"):
        return [out.node("Mod", left, right)]
    floored = out.node("Floor", out.node("Div", left, right))
    return [out.node("Sub", left, out.node("Mul", floored, right))]


@emits("rsqrt")
def _rsqrt(out: Exporter, op: Operation) -> Sequence[Names]:
    return [out.node("Reciprocal", out.node("Sqrt", out.name(op.inputs[0])))]


@emits("square")
def _square(out: Exporter, op: Operation) -> Sequence[Names]:
    name = out.name(op.inputs[0])
    return [out.node("Mul", name, name)]


@emits("silu", "swish")
def _silu(out: Exporter, op: Operation) -> Sequence[Names]:
    name = out.name(op.inputs[0])
    return [out.node("Mul", name, out.node("Sigmoid", name))]


@emits("mish")
def _mish(out: Exporter, op: Operation) -> Sequence[Names]:
    name = out.name(op.inputs[0])
    return [out.node("Mul", name, out.node("Tanh", out.node("Softplus", name)))]


@emits("relu6")
def _relu6(out: Exporter, op: Operation) -> Sequence[Names]:
    bounds = (out.constant(bound, "f32") for bound in (0.0, 6.0))
    return [out.node("Clip", out.name(op.inputs[0]), *bounds)]


@emits("leaky_relu")
def _leaky_relu(out: Exporter, op: Operation) -> Sequence[Names]:
    return [out.node("LeakyRelu", out.name(op.inputs[0]), alpha=op.attribute("negative_slope"))]


@emits("hardsigmoid")
def _hardsigmoid(out: Exporter, op: Operation) -> Sequence[Names]:
    name = out.name(op.inputs[0])
    return [out.node("HardSigmoid", name, alpha=op.attribute("slope"), beta=op.attribute("offset"))]


@emits("hardswish")
def _hardswish(out: Exporter, op: Operation) -> Sequence[Names]:
    return [out.node("HardSwish", out.name(op.inputs[0]))]


@emits("gelu")
def _gelu(out: Exporter, op: Operation) -> Sequence[Names]:
    if op.attribute("approximate"):
        raise refuse(op, "gelu with the tanh approximation")
    # The pattern that ONNX Runtime and OpenVINO fuse to one operator.
    name = out.name(op.inputs[0])
    kind = out.type(op.inputs[0]).dtype
    error = out.node("Erf", out.node("Div", name, out.constant(np.sqrt(2.0), kind)))
    product = out.node("Mul", name, out.node("Add", error, out.constant(1.0, kind)))
    return [out.node("Mul", product, out.constant(0.5, kind))]


@emits("pow")
def _pow(out: Exporter, op: Operation) -> Sequence[Names]:
    exponent = out.constant(op.attribute("y"), out.type(op.inputs[0]).dtype)
    return [out.node("Pow", out.name(op.inputs[0]), exponent)]


@emits("scale", "scale_")
def _scale(out: Exporter, op: Operation) -> Sequence[Names]:
    value, factor = op.inputs
    kind = out.type(value).dtype
    known = out.known(factor)
    if known is None:
        raise refuse(op, "the scale is not constant")
    name = out.name(value)
    multiplier, bias = float(known.item()), float(op.attribute("bias"))
    if not op.attribute("bias_after_scale"):
        name, bias = _plus(out, name, bias, kind), 0.0
    if multiplier != 1:
        name = out.node("Mul", name, out.constant(multiplier, kind))
    return [_plus(out, name, bias, kind)]


def _plus(out: Exporter, name: str, bias: float, kind: str) -> str:
    return out.node("Add", name, out.constant(bias, kind)) if bias else name


@emits("clip", "clip_")
def _clip(out: Exporter, op: Operation) -> Sequence[Names]:
    value, low, high = op.inputs
    kind = out.type(value).dtype
    bounds = []
    for bound in (low, high):
        known = out.known(bound)
        if known is not None:
            bounds.append(out.constant(known.reshape(()), kind))
        else:
            bounds.append(out.node("Squeeze", out.name(bound)))
    return [out.node("Clip", out.name(value), *bounds)]


@emits("cast", "cast_")
def _cast(out: Exporter, op: Operation) -> Sequence[Names]:
    wanted = short_dtype(op)
    name = out.name(op.inputs[0])
    return [name if out.type(op.inputs[0]).dtype == wanted else out.cast(name, wanted)]


@emits("where")
def _where(out: Exporter, op: Operation) -> Sequence[Names]:
    condition, yes, no = (out.name(value) for value in op.inputs)
    return [yes if yes == no else out.node("Where", condition, yes, no)]


@emits("add_n")
def _add_n(out: Exporter, op: Operation) -> Sequence[Names]:
    return [out.total(out.names(op.inputs[0]))]


@emits("assign", "assign_", "share_data", "share_data_", "dropout")
def _same(out: Exporter, op: Operation) -> Sequence[Names]:
    if op.name == "pd_op.dropout" and op.attribute("mode") != "upscale_in_train":
        raise refuse(op, "dropout with scaling at inference")
    return [out.name(op.inputs[0])]
