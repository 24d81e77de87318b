# SPDX-License-Identifier: Apache-2.0
"""Resizing of feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpip.graph.onnx_export.exporter import Exporter, Names, emits, refuse
from hpip.graph.operation import NO_VALUE, Operation


@emits("bilinear_interp", "nearest_interp")
def _interpolate(out: Exporter, op: Operation) -> Sequence[Names]:
    value, size, sizes, scale = op.inputs
    if op.attribute("data_format") != "NCHW" or scale != NO_VALUE:
        raise refuse(op, "a layout other than NCHW, or a computed scale")
    name = out.name(value)
    sampling = _sampling(op)
    if sizes != NO_VALUE:
        parts = [_one(out, member) for member in _members(out, sizes)]
        return [_to_size(out, name, out.node("Concat", *parts, axis=0), sampling)]
    if size != NO_VALUE:
        return [_to_size(out, name, out.as_index(size), sampling)]
    factors = list(op.attribute("scale"))
    if not factors:
        wanted = [op.attribute("out_h"), op.attribute("out_w")]
        if list(out.type(value).shape[2:]) == wanted:
            return [name]
        return [_to_size(out, name, out.shape_constant(wanted), sampling)]
    factors = factors * 2 if len(factors) == 1 else factors
    return [out.node("Resize", name, "", out.constant([1, 1, *factors], "f32"), **sampling)]


def _members(out: Exporter, value: int) -> Sequence[int]:
    maker = out.program.maker(value)
    return (value,) if maker is None or maker.name != "builtin.combine" else maker.inputs


def _one(out: Exporter, value: int) -> str:
    return out.as_index(value)


def _to_size(out: Exporter, name: str, size: str, sampling: dict[str, Any]) -> str:
    kept = out.node("Shape", name, start=0, end=2)
    return out.node("Resize", name, "", "", out.node("Concat", kept, size, axis=0), **sampling)


def _sampling(op: Operation) -> dict[str, Any]:
    """ONNX's attributes for the resize convention of Paddle's attributes."""
    corners = op.attribute("align_corners")
    if op.name == "pd_op.nearest_interp":
        if corners:
            return {
                "mode": "nearest",
                "coordinate_transformation_mode": "align_corners",
                "nearest_mode": "round_prefer_ceil",
            }
        return {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        }
    if corners:
        convention = "align_corners"
    else:
        convention = "half_pixel" if op.attribute("align_mode") == 0 else "asymmetric"
    return {"mode": "linear", "coordinate_transformation_mode": convention}
