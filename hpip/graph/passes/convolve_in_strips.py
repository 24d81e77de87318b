# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import dataclass

from hpip.graph.builder import (
    combine,
    full,
    integer,
    integers,
    make,
    make_integers,
    string,
    tensor_type,
)
from hpip.graph.operation import Operation
from hpip.graph.passes.base import NoMatchError, Pass, PassResult
from hpip.graph.program import Program

# glibc gives memory of 32 MB and more back to the system whenever it is freed, and less where
# enough is free at the end of its heap; zeroed pages then come back one by one. PP-YOLOE_seg-S took
# 0.55 s with whole matrices (65,000 pages a run), 0.50 with up to 24 MB, 0.43 with up to 8 (1,000).
_MOST_BYTES = 8e6


class ConvolveInStripsPass(Pass):
    """Convolve large maps in strips of rows, for Paddle's kernels on the CPU.

    These unfold what a convolution reads into a matrix, which for 3x3 is nine times the map. A
    large one leaves the caches, and its memory comes page by page from the system each time. Other
    engines make no such matrix and run the program without this pass.

    Every number of the result is the same sum, in the same order. MKL's generic kernels give the
    same bits; those for AVX2 round otherwise at the end of a strip.

    Cases:
        1. `conv2d` of float32 maps in NCHW, of known sizes, in one group, without dilation, with
           explicit paddings, whose matrix for one image is large: padded once, convolved strip by
           strip without padding, and put together.
        2. The matrix is the map itself (1x1 kernels without strides) or small: left alone.
        3. Open sizes: left alone; a strip could be empty.
        4. Groups, dilation, transposed and depthwise convolutions: left alone.
    """

    def _apply(self, program: Program) -> PassResult:
        found = [one for op in program.walk() if (one := _large(program, op)) is not None]
        if not found:
            raise NoMatchError("no convolution of known size unfolds into a large matrix")
        for one in found:
            _replace(program, one)
        count = f"{len(found)} convolution{'s' * (len(found) != 1)}"
        return PassResult(program, modified=True, reason=f"{count} in strips of rows")


@dataclass(frozen=True)
class _Large:
    """A convolution whose matrix is large, and what it is made of."""

    op: Operation
    map_shape: tuple[int, ...]
    kernel_hw: tuple[int, int]
    strides: list[int]
    # Top, bottom, left, right.
    paddings: list[int]
    result_shape: tuple[int, ...]
    strips: int


def _large(program: Program, op: Operation) -> _Large | None:
    if op.name != "pd_op.conv2d" or not _is_plain(op):
        return None
    kinds = [program.type_of(value) for value in (*op.inputs, *op.outputs)]
    if any(kind is None or kind.dtype != "f32" or len(kind.shape) != 4 for kind in kinds):
        return None
    taken, kernel, made = (kind.shape for kind in kinds if kind is not None)
    if -1 in (*taken[1:], *made[1:]):
        return None
    strides, paddings = op.attribute("strides"), op.attribute("paddings")
    if kernel[2:] == (1, 1) and strides == [1, 1]:
        return None
    rows, columns = made[2:]
    strips = min(rows, math.ceil(4 * math.prod(kernel[1:]) * rows * columns / _MOST_BYTES))
    if strips < 2:
        return None
    if len(paddings) == 2:
        paddings = [paddings[0], paddings[0], paddings[1], paddings[1]]
    return _Large(op, taken, (kernel[2], kernel[3]), strides, paddings, made, strips)


def _is_plain(op: Operation) -> bool:
    wanted = {
        "data_format": "NCHW",
        "padding_algorithm": "EXPLICIT",
        "groups": 1,
        "dilations": [1, 1],
    }
    return all(op.attribute(name) == value for name, value in wanted.items())


def _replace(program: Program, one: _Large) -> None:
    padded, width, new = _padded(program, one)
    images, channels, rows, columns = one.result_shape
    strips = []
    for number in range(one.strips):
        first, end = (rows * n // one.strips for n in (number, number + 1))
        start, stop = first * one.strides[0], (end - 1) * one.strides[0] + one.kernel_hw[0]
        bounds = [make_integers(program, [place]) for place in (start, stop)]
        strip = make(
            program,
            "pd_op.slice",
            [padded, *(bound.outputs[0] for bound in bounds)],
            [tensor_type("f32", [images, one.map_shape[1], stop - start, width])],
            {
                "axes": integers([2]),
                "infer_flags": integers([1]),
                "decrease_axis": integers([]),
            },
        )
        product = make(
            program,
            "pd_op.conv2d",
            [strip.outputs[0], one.op.inputs[1]],
            [tensor_type("f32", [images, channels, end - first, columns])],
            {
                "strides": integers(one.strides, bits=32),
                "paddings": integers([0, 0], bits=32),
                "padding_algorithm": string("EXPLICIT"),
                "dilations": integers([1, 1], bits=32),
                "groups": integer(1),
                "data_format": string("NCHW"),
            },
        )
        new += [*bounds, strip, product]
        strips.append(product)
    axis = full(program, 2, "i32", "int32")
    listed = combine(program, strips)
    whole = make(
        program,
        "pd_op.concat",
        [listed.outputs[0], axis.outputs[0]],
        [one.op.output_type_json(0)],
    )
    program.insert(one.op, [*new, axis, listed, whole], after=False)
    program.remove([one.op])
    program.replace_value(one.op.outputs[0], whole.outputs[0])


def _padded(program: Program, one: _Large) -> tuple[int, int, list[Operation]]:
    """The map with its border of zeros, its width, and the operations that make it."""
    top, bottom, left, right = one.paddings
    images, channels, height, width = one.map_shape
    if not any(one.paddings):
        return one.op.inputs[0], width, []
    zero = full(program, 0.0, "f32", "float32")
    # Paddle unfolds quickly without a border or with one on all four sides, which strips have not.
    border = make(
        program,
        "pd_op.pad",
        [one.op.inputs[0], zero.outputs[0]],
        [tensor_type("f32", [images, channels, height + top + bottom, width + left + right])],
        {"paddings": integers([0, 0, 0, 0, *one.paddings], bits=32)},
    )
    return border.outputs[0], width + left + right, [zero, border]
