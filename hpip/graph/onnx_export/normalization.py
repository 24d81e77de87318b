# SPDX-License-Identifier: Apache-2.0
"""Normalization by statistics: stored ones, or those of the input."""

from __future__ import annotations

from collections.abc import Sequence

from hpip.graph.batching import normalizes_by_input
from hpip.graph.onnx_export.exporter import Exporter, Names, emits, refuse
from hpip.graph.operation import NO_VALUE, Operation


@emits("batch_norm", "batch_norm_")
def _batch_norm(out: Exporter, op: Operation) -> Sequence[Names]:
    if op.attribute("data_format") != "NCHW":
        raise refuse(op, f"the layout {op.attribute('data_format')}")
    value, mean, variance, scale, bias = op.inputs
    epsilon = op.attribute("epsilon")
    if not normalizes_by_input(op):
        operands = (out.name(v) for v in (value, scale, bias, mean, variance))
        return [out.node("BatchNormalization", *operands, epsilon=epsilon)]
    # Statistics over all images (or regions) and pixels: ONNX has this for training only.
    name = out.name(value)
    axes = [axis for axis in range(out.rank(value)) if axis != 1]
    column = out.shape_constant([-1] + [1] * (out.rank(value) - 2))
    centred = out.node("Sub", name, out.node("ReduceMean", name, axes=axes))
    spread = out.node("ReduceMean", out.node("Mul", centred, centred), axes=axes)
    deviation = out.node("Sqrt", out.node("Add", spread, out.constant(epsilon, "f32")))
    factor = out.node("Div", out.node("Reshape", out.name(scale), column), deviation)
    scaled = out.node("Mul", centred, factor)
    return [out.node("Add", scaled, out.node("Reshape", out.name(bias), column))]


@emits("instance_norm")
def _instance_norm(out: Exporter, op: Operation) -> Sequence[Names]:
    value, scale, bias = op.inputs
    channels = out.type(value).shape[1]
    operands = [
        out.name(operand)
        if operand != NO_VALUE
        else out.node("Expand", out.constant(filler, "f32"), out.shape_constant([channels]))
        for operand, filler in ((scale, 1.0), (bias, 0.0))
    ]
    epsilon = op.attribute("epsilon")
    return [out.node("InstanceNormalization", out.name(value), *operands, epsilon=epsilon)]


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
    column = out.shape_constant([-1] + [1] * (out.rank(value) - 2))
    if scale != NO_VALUE:
        result = out.node("Mul", result, out.node("Reshape", out.name(scale), column))
    if bias != NO_VALUE:
        result = out.node("Add", result, out.node("Reshape", out.name(bias), column))
    return [result]


@emits("layer_norm")
def _layer_norm(out: Exporter, op: Operation) -> Sequence[Names]:
    value, scale, bias = op.inputs
    axis = op.attribute("begin_norm_axis")
    if axis != out.rank(value) - 1 or scale == NO_VALUE:
        raise refuse(op, "layer normalization over several axes or without a scale")
    operands = [out.name(v) for v in (value, scale, bias) if v != NO_VALUE]
    return [out.node("LayerNormalization", *operands, axis=axis, epsilon=op.attribute("epsilon"))]
