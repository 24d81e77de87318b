# SPDX-License-Identifier: Apache-2.0
"""Normalization by statistics: stored ones, or those of the input."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hpip.graph.batching import normalizes_by_input
from hpip.graph.onnx_export.exporter import Exporter, Names, emits, refuse
from hpip.graph.operation import NO_VALUE, Operation

# Pixels of a map from which on it is worth it.
_LARGE_MAP = 64 * 64
_TILE_SIDES = (16, 8, 4)


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
    axes = [axis for axis in range(out.rank(value)) if axis != 1]
    return [_normalized(out, op, scale, bias, lambda name: out.node("ReduceMean", name, axes=axes))]


@emits("instance_norm")
def _instance_norm(out: Exporter, op: Operation) -> Sequence[Names]:
    value, scale, bias = op.inputs
    _, channels, *map_hw = out.type(value).shape
    if side := _tile_side(map_hw):
        return [_normalized(out, op, scale, bias, lambda name: _mean_of_tiles(out, name, side))]
    operands = [
        out.name(operand)
        if operand != NO_VALUE
        else out.node("Expand", out.constant(filler, "f32"), out.shape_constant([channels]))
        for operand, filler in ((scale, 1.0), (bias, 0.0))
    ]
    epsilon = op.attribute("epsilon")
    return [out.node("InstanceNormalization", out.name(value), *operands, epsilon=epsilon)]


def _tile_side(map_hw: Sequence[int]) -> int:
    """The side of tiles that cover a large map of known size; 0 for any other.

    Engines add up a channel's pixels one after the other in float32. OpenVINO's statistics of a map
    of 320x320 are off by 5e-6 of the spread, which makes 0.002 of a score of Mask-RT-DETR-M's;
    means of tiles, and then their mean, are off by 5e-7 and take no longer.
    """
    if len(map_hw) != 2 or -1 in map_hw or map_hw[0] * map_hw[1] < _LARGE_MAP:
        return 0
    return next((side for side in _TILE_SIDES if not any(n % side for n in map_hw)), 0)


def _mean_of_tiles(out: Exporter, name: str, side: int) -> str:
    # Two means by axes would not do: OpenVINO makes one of them.
    tiles = out.node("AveragePool", name, kernel_shape=[side] * 2, strides=[side] * 2)
    return out.node("ReduceMean", tiles, axes=[2, 3])


def _normalized(
    out: Exporter, op: Operation, scale: int, bias: int, mean: Callable[[str], str]
) -> str:
    """The operation's first operand, with the mean and the spread of what `mean` goes over."""
    value = op.inputs[0]
    name = out.name(value)
    column = out.shape_constant([-1] + [1] * (out.rank(value) - 2))
    centred = out.node("Sub", name, mean(name))
    # Not a product: these operators keep float32 where the rest of a program is in half precision.
    spread = mean(out.node("Pow", centred, out.constant(2.0, "f32")))
    epsilon = out.constant(op.attribute("epsilon"), "f32")
    deviation = out.node("Sqrt", out.node("Add", spread, epsilon))
    if scale == NO_VALUE:
        result = out.node("Div", centred, deviation)
    else:
        factor = out.node("Div", out.node("Reshape", out.name(scale), column), deviation)
        result = out.node("Mul", centred, factor)
    if bias == NO_VALUE:
        return result
    return out.node("Add", result, out.node("Reshape", out.name(bias), column))


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
