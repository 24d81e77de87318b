# SPDX-License-Identifier: Apache-2.0
"""Convolution and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpip.graph.onnx_export.exporter import Exporter, Names, emits, refuse
from hpip.graph.operation import PARAMETER, Operation


@emits("conv2d", "depthwise_conv2d")
def _conv2d(out: Exporter, op: Operation) -> Sequence[Names]:
    value, weights = op.inputs
    _require_nchw(op)
    if _mixes_channels_by_computed_weights(out, op):
        return [_channel_product(out, value, weights)]
    dilations = op.attribute("dilations")
    attributes: dict[str, Any] = {
        "strides": op.attribute("strides"),
        "group": op.attribute("groups"),
    }
    kernel = out.type(weights).shape[2:]
    attributes |= _padding(op, kernel)
    # "SAME" disables dilation in Paddle.
    attributes["dilations"] = [1, 1] if op.attribute("padding_algorithm") == "SAME" else dilations
    if -1 not in kernel:
        attributes["kernel_shape"] = kernel
    return [out.node("Conv", out.name(value), out.name(weights), **attributes)]


def _mixes_channels_by_computed_weights(out: Exporter, op: Operation) -> bool:
    """Whether this is a 1x1 convolution with computed weights, as in SOLOv2.

    It is exported as a matrix product, since OpenVINO does not support a convolution with a dynamic
    number of output channels (2026.4).
    """
    maker = out.program.maker(op.inputs[1])
    plain = {"strides": [1, 1], "groups": 1}
    return (
        maker is not None
        and maker.name != PARAMETER
        and out.type(op.inputs[1]).shape[2:] == (1, 1)
        and all(op.attribute(name) == value for name, value in plain.items())
        and (op.attribute("padding_algorithm") != "EXPLICIT" or not any(op.attribute("paddings")))
    )


def _channel_product(out: Exporter, value: int, weights: int) -> str:
    channels = out.type(weights).shape[1]
    kernels = out.node("Reshape", out.name(weights), out.shape_constant([-1, channels]))
    name = out.name(value)
    pixels = out.node("Reshape", name, out.shape_constant([0, channels, -1]))
    sides = out.node("Shape", name, start=2, end=4)
    shape = out.node("Concat", out.shape_constant([0, 0]), sides, axis=0)
    return out.node("Reshape", out.node("MatMul", kernels, pixels), shape)


@emits("conv2d_transpose")
def _conv2d_transpose(out: Exporter, op: Operation) -> Sequence[Names]:
    value, weights, size = op.inputs
    _require_nchw(op)
    if op.attribute("padding_algorithm") != "EXPLICIT" or out.integers(op, size):
        raise refuse(op, "a transposed convolution with an explicit output size")
    attributes = {
        "kernel_shape": out.type(weights).shape[2:],
        "strides": op.attribute("strides"),
        "dilations": op.attribute("dilations"),
        "group": op.attribute("groups"),
        "pads": _explicit(op.attribute("paddings")),
    }
    if op.attribute("output_padding"):
        attributes["output_padding"] = op.attribute("output_padding")
    return [out.node("ConvTranspose", out.name(value), out.name(weights), **attributes)]


@emits("pool2d")
def _pool2d(out: Exporter, op: Operation) -> Sequence[Names]:
    _require_nchw(op)
    name = out.name(op.inputs[0])
    kind = op.attribute("pooling_type")
    kernel = out.integers(op, op.inputs[1])
    if op.attribute("global_pooling") or (op.attribute("adaptive") and set(kernel) == {1}):
        return [out.node("GlobalMaxPool" if kind == "max" else "GlobalAveragePool", name)]
    if op.attribute("adaptive"):
        raise refuse(op, f"adaptive pooling to {kernel}")
    padding = _padding(op, kernel)
    attributes = {
        "kernel_shape": kernel,
        "strides": op.attribute("strides"),
        "ceil_mode": int(op.attribute("ceil_mode") and "auto_pad" not in padding),
        **padding,
    }
    if kind == "max":
        return [out.node("MaxPool", name, **attributes)]
    attributes["count_include_pad"] = int(not op.attribute("exclusive"))
    return [out.node("AveragePool", name, **attributes)]


def _padding(op: Operation, kernel: Sequence[int]) -> dict[str, Any]:
    algorithm = op.attribute("padding_algorithm")
    if algorithm == "VALID":
        return {"pads": [0, 0, 0, 0]}
    if algorithm == "EXPLICIT":
        return {"pads": _explicit(op.attribute("paddings"))}
    if list(op.attribute("strides")) == [1, 1]:
        # The odd pixel is padded at the bottom and right.
        before = [(length - 1) // 2 for length in kernel]
        return {"pads": [*before, *(length // 2 for length in kernel)]}
    return {"auto_pad": "SAME_UPPER"}


def _explicit(paddings: Sequence[int]) -> list[int]:
    """ONNX's pads (starts, then ends) from Paddle's (h, w) or (top, bottom, left, right)."""
    if len(paddings) == 2:
        return [*paddings, *paddings]
    top, bottom, left, right = paddings
    return [top, left, bottom, right]


def _require_nchw(op: Operation) -> None:
    if op.attribute("data_format") not in ("NCHW", "AnyLayout"):
        raise refuse(op, f"the layout {op.attribute('data_format')}")
