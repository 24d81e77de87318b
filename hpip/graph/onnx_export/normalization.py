# SPDX-License-Identifier: Apache-2.0
"""Normalization layers, with running statistics or with those of the batch."""

from __future__ import annotations

from collections.abc import Sequence

from hpip.graph.batching import uses_batch_statistics
from hpip.graph.onnx_export.exporter import Exporter, Names, emits, refuse
from hpip.graph.operation import NO_VALUE, Operation


@emits("batch_norm", "batch_norm_")
def _batch_norm(out: Exporter, op: Operation) -> Sequence[Names]:
    if op.attribute("data_format") != "NCHW":
        raise refuse(op, f"the layout {op.attribute('data_format')}")
    value, mean, variance, scale, bias = op.inputs
    name, epsilon = out.name(value), op.attribute("epsilon")
    if not uses_batch_statistics(op):
        operands = (out.name(v) for v in (scale, bias, mean, variance))
        return [out.node("BatchNormalization", name, *operands, epsilon=epsilon)]
    # ONNX has batch statistics in training mode only, so they are computed by basic operators.
    axes = [axis for axis in range(out.rank(value)) if axis != 1]
    centred = out.node("Sub", name, out.node("ReduceMean", name, axes=axes))
    spread = out.node("ReduceMean", out.node("Mul", centred, centred), axes=axes)
    deviation = out.node("Sqrt", out.node("Add", spread, out.constant(epsilon, "f32")))
    return [_scaled(out, op, out.node("Div", centred, deviation), scale, bias)]


@emits("instance_norm")
def _instance_norm(out: Exporter, op: Operation) -> Sequence[Names]:
    value, scale, bias = op.inputs
    channels = out.shape_constant([out.type(value).shape[1]])
    operands = [
        out.name(operand)
        if operand != NO_VALUE
        else out.node("Expand", out.constant(filler, "f32"), channels)
        for operand, filler in ((scale, 1.0), (bias, 0.0))
    ]
    epsilon = op.attribute("epsilon")
    return [out.node("InstanceNormalization", out.name(value), *operands, epsilon=epsilon)]


def _scaled(out: Exporter, op: Operation, normal: str, scale: int, bias: int) -> str:
    """A normalized value times the scale plus the bias of each channel; either may be absent."""
    column = out.shape_constant([-1] + [1] * (out.rank(op.inputs[0]) - 2))
    for kind, operand in (("Mul", scale), ("Add", bias)):
        if operand != NO_VALUE:
            normal = out.node(kind, normal, out.node("Reshape", out.name(operand), column))
    return normal


@emits("group_norm")
def _group_norm(out: Exporter, op: Operation) -> Sequence[Names]:
    if op.attribute("data_format") != "NCHW":
        raise refuse(op, f"the layout {op.attribute('data_format')}")
    value, scale, bias = op.inputs
    groups = op.attribute("groups")
    name = out.name(value)
    grouped = out.node("Reshape", name, out.shape_constant([0, groups, -1]))
    ones = out.constant([1.0] * groups, "f32")
    zeros = out.constant([0.0] * groups, "f32")
    epsilon = op.attribute("epsilon")
    normal = out.node("InstanceNormalization", grouped, ones, zeros, epsilon=epsilon)
    result = out.node("Reshape", normal, out.node("Shape", name))
    return [_scaled(out, op, result, scale, bias)]


@emits("layer_norm")
def _layer_norm(out: Exporter, op: Operation) -> Sequence[Names]:
    value, scale, bias = op.inputs
    axis = op.attribute("begin_norm_axis")
    if axis != out.rank(value) - 1 or scale == NO_VALUE:
        raise refuse(op, "layer normalization over several axes or without a scale")
    operands = [out.name(v) for v in (value, scale, bias) if v != NO_VALUE]
    return [out.node("LayerNormalization", *operands, axis=axis, epsilon=op.attribute("epsilon"))]
