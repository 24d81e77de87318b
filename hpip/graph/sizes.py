# SPDX-License-Identifier: Apache-2.0
"""Shape inference for a given input size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from hpip.graph.constant_folding import constant
from hpip.graph.operation import NO_VALUE, Operation
from hpip.graph.program import INPUT, Program

Shape = tuple[int, ...]


def infer_sizes(program: Program, image_hw: tuple[int, int]) -> dict[int, Shape]:
    """Shape of each value for one image of this size; -1 for axes that remain unknown.

    The number of regions is the model's maximum.
    """
    sizes: dict[int, Shape] = {}
    rows = _RowCounts(program)
    for op in program.walk():
        for value, kind in zip(op.outputs, op.output_types, strict=True):
            if kind is None:
                continue
            known = [sizes.get(operand, ()) for operand in op.inputs]
            found = _one_image(op, kind.shape, image_hw)
            rule = _RULES.get(op.name)
            if rule is not None and -1 in found:
                found = _filled(found, rule(program, op, known))
            elif -1 in found and op.name not in _NEW_ROWS:
                found = _filled(found, next((s for s in known if len(s) == len(found)), ()))
            if found[:1] == (-1,) and len(found) > 1:
                found = (rows.at(op), *found[1:])
            sizes[value] = found
    return sizes


class _RowCounts:
    """First length of dynamic values: number of images, then regions, then detected boxes."""

    def __init__(self, program: Program) -> None:
        self._position = {id(op): index for index, op in enumerate(program.walk())}
        self._changes: list[tuple[int, int]] = []
        for op in program.walk():
            if op.name == "pd_op.generate_proposals" and not self._changes:
                self._changes.append((self._position[id(op)], int(op.attribute("post_nms_top_n"))))
            if op.name == "pd_op.multiclass_nms3":
                self._changes.append((self._position[id(op)], int(op.attribute("keep_top_k"))))

    def at(self, op: Operation) -> int:
        """Maximum number of rows at an operation."""
        passed = [rows for place, rows in self._changes if place < self._position[id(op)]]
        return passed[-1] if passed else 1


def _one_image(op: Operation, shape: Shape, image_hw: tuple[int, int]) -> Shape:
    if op.name == INPUT and len(shape) == 4:
        return (1, shape[1], *image_hw)
    return (1, *shape[1:]) if op.name == INPUT else shape


def _filled(shape: Shape, other: Sequence[int]) -> Shape:
    if len(other) != len(shape):
        return shape
    return tuple(b if a == -1 else a for a, b in zip(shape, other, strict=True))


def _windows(size: Shape, kernel: Sequence[int], op: Operation) -> tuple[int, int]:
    """Output height and width of a convolution or pooling with `kernel`."""
    strides, pads = op.attribute("strides"), op.attribute("paddings")
    pads = [*pads, *pads] if len(pads) == 2 else [pads[0], pads[2], pads[1], pads[3]]
    spread = op.attribute("dilations") if op.has_attribute("dilations") else (1, 1)
    up = op.has_attribute("ceil_mode") and op.attribute("ceil_mode")
    height, width = (
        -1
        if size[i + 2] == -1
        else (math.ceil if up else math.floor)(
            (size[i + 2] + pads[i] + pads[i + 2] - spread[i] * (kernel[i] - 1) - 1) / strides[i]
        )
        + 1
        for i in (0, 1)
    )
    return height, width


def _conv(program: Program, op: Operation, known: Sequence[Shape]) -> Shape:
    if len(known[0]) != 4:
        return ()
    return (known[0][0], known[1][0], *_windows(known[0], known[1][2:], op))


def _pool(program: Program, op: Operation, known: Sequence[Shape]) -> Shape:
    if op.attribute("adaptive") or op.attribute("global_pooling") or len(known[0]) != 4:
        return (*known[0][:2], -1, -1)
    kernel = constant(program, op.inputs[1])
    return () if kernel is None else (*known[0][:2], *_windows(known[0], kernel.tolist(), op))


def _resize(program: Program, op: Operation, known: Sequence[Shape]) -> Shape:
    size = [int(op.attribute(name)) for name in ("out_h", "out_w")]
    scale = op.attribute("scale")
    if min(size) < 1 and len(scale) == 2 and all(value == NO_VALUE for value in op.inputs[1:]):
        size = [int(a * s) if a > 0 else -1 for a, s in zip(known[0][2:], scale, strict=True)]
    return (*known[0][:2], *(side if side > 0 else -1 for side in size))


def _matmul(program: Program, op: Operation, known: Sequence[Shape]) -> Shape:
    left, right = known
    if min(len(left), len(right)) < 2:
        return ()
    if op.has_attribute("transpose_x") and op.attribute("transpose_x"):
        left = (*left[:-2], left[-1], left[-2])
    if op.has_attribute("transpose_y") and op.attribute("transpose_y"):
        right = (*right[:-2], right[-1], right[-2])
    return (*left[:-1], right[-1])


def _transpose(program: Program, op: Operation, known: Sequence[Shape]) -> Shape:
    order = op.attribute("perm")
    return tuple(known[0][axis] for axis in order) if len(known[0]) == len(order) else ()


def _flatten(program: Program, op: Operation, known: Sequence[Shape]) -> Shape:
    start, stop, size = op.attribute("start_axis"), op.attribute("stop_axis"), known[0]
    if not size:
        return ()
    start, stop = start % len(size), stop % len(size)
    merged = size[start : stop + 1]
    product = -1 if -1 in merged else math.prod(merged)
    return (*size[:start], product, *size[stop + 1 :])


# The number of rows of their results is independent of their first operand.
_NEW_ROWS = frozenset({"pd_op.roi_align", "pd_op.gather", "pd_op.generate_proposals"})

_RULES: dict[str, Callable[[Program, Operation, Sequence[Shape]], Shape]] = {
    "pd_op.conv2d": _conv,
    "pd_op.depthwise_conv2d": _conv,
    "pd_op.pool2d": _pool,
    "pd_op.nearest_interp": _resize,
    "pd_op.bilinear_interp": _resize,
    "pd_op.matmul": _matmul,
    "pd_op.bmm": _matmul,
    "pd_op.transpose": _transpose,
    "pd_op.flatten": _flatten,
}


def known(sizes: Mapping[int, Shape], value: int) -> Shape | None:
    """The shape of a value, or None unless it is fully known."""
    found = sizes.get(value)
    return None if found is None or -1 in found else found
