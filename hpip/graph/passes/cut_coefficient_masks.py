# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from hpip.graph.builder import replace_outputs
from hpip.graph.liveness import remove_dead_code
from hpip.graph.match import (
    constant_list,
    constant_number,
    fixed_size,
    follows,
    listed,
    made_by,
    one,
    output_values,
    plain_bilinear,
    resize_target,
    skip,
)
from hpip.graph.operation import Operation
from hpip.graph.passes.base import NoMatchError, Pass, PassResult
from hpip.graph.program import Program
from hpip.types import AnyArray, Float32Array, MaskSource

_RESHAPING = ("cast", "squeeze", "unsqueeze", "reshape")
_LAST = 2**31 - 1


class CutCoefficientMasksPass(Pass):
    """Truncate before mask coefficients and prototypes are multiplied (PP-YOLOE_seg).

    Cases:
        1. All outputs come from one `if` on "there are detections"; its masks are `coefficients x
           prototypes`, sigmoid, resized to the network's input, zeroed outside the box, resized to
           the unpadded original, cropped to its size, `> 0.5`: the coefficients of detected boxes
           are gathered before the `if`, which is removed. Boxes are those of NMS, not yet scaled.
        2. Any of these steps is missing, in another order or has other constants: unchanged.

    Afterwards an image without detections has no rows, instead of one row of zeros.
    """

    def _apply(self, program: Program) -> PassResult:
        nms = one(program, "multiclass_nms3")
        branch, (boxes, counts, masks) = _outputs_of_branch(program, nms)
        if counts != nms.outputs[2]:
            raise NoMatchError("the counts among the outputs are not those of NMS")
        _check_boxes(program, boxes, nms.outputs[0])
        product, upsample_hw = _match_masks(program, masks, nms.outputs[0])
        gathered = made_by(program, product.inputs[0], "gather")
        if gathered.inputs[1] != nms.outputs[1]:
            raise NoMatchError("coefficients are not gathered at the indices that NMS returns")
        prototypes = _match_prototypes(program, product.inputs[1])
        _move_before(program, branch, gathered)
        outputs = {
            "boxes": nms.outputs[0],
            "counts": counts,
            "coefficients": gathered.outputs[0],
            "prototypes": prototypes,
        }
        replace_outputs(program, outputs)
        # It writes scaled boxes to those of NMS in place, so dead code elimination would keep it.
        program.remove([branch])
        removed = sum(1 for _ in branch.walk()) + remove_dead_code(program)
        source = MaskSource(
            "image",
            boxes_frame="network",
            threshold=0.5,
            inclusive=False,
            activation="sigmoid",
            has_prototypes=True,
            upsample_hw=upsample_hw,
            crops_to_box=True,
            canvas="unpadded",
        )
        reason = (
            "truncated before the product of coefficients and prototypes, "
            f"{removed} operations removed"
        )
        return PassResult(program, modified=True, reason=reason, masks=source)


def _outputs_of_branch(program: Program, nms: Operation) -> tuple[Operation, list[int]]:
    """The `if` that makes all outputs, and the values that it yields if there are boxes."""
    values = output_values(program, 3)
    branch = made_by(program, values[0], "if")
    if any(program.maker(value) is not branch for value in values):
        raise NoMatchError("the outputs do not come from one `if`")
    above = made_by(program, branch.inputs[0], "greater_than")
    total = made_by(program, above.inputs[0], "sum")
    if total.inputs[0] != nms.outputs[2] or constant_number(program, above.inputs[1]) != 0:
        raise NoMatchError(f"{branch} does not test whether NMS returned boxes")
    yielded = branch.regions[0].blocks[0].operations[-1].inputs
    return branch, [yielded[branch.outputs.index(value)] for value in values]


def _check_boxes(program: Program, boxes: int, rows: int) -> None:
    """Check that `boxes` are `rows` with corners divided by the scale factor (x, y, x, y)."""
    written = made_by(program, boxes, "set_value_with_tensor_")
    start = [constant_list(program, value) for value in written.inputs[2:]]
    if written.inputs[0] != rows or start != [[2], [_LAST], [1]]:
        raise NoMatchError(f"{written} does not replace the corners of NMS's boxes")
    divided = made_by(program, written.inputs[1], "divide")
    _check_corners(program, divided.inputs[0], rows)

    def swapped(im_shape: Float32Array, scale_factor: Float32Array) -> AnyArray:
        return np.tile(scale_factor[::-1], 2)

    if not follows(program, divided.inputs[1], swapped):
        raise NoMatchError("boxes are not divided by the scale factor")


def _check_corners(program: Program, value: int, rows: int) -> None:
    op = made_by(program, value, "slice")
    found = (
        op.inputs[0],
        op.attribute("axes"),
        *(constant_list(program, v) for v in op.inputs[1:]),
    )
    if found != (rows, [1], [2], [_LAST]):
        raise NoMatchError(f"{op} does not take the corners of NMS's boxes")


def _match_masks(program: Program, masks: int, rows: int) -> tuple[Operation, tuple[int, int]]:
    """Match the mask head; returns its matrix product and the size of its first resize."""
    above = made_by(program, skip(program, masks, _RESHAPING), "greater_than")
    if constant_number(program, above.inputs[1]) != 0.5:
        raise NoMatchError("the masks are not compared with 0.5")
    cut = made_by(program, skip(program, above.inputs[0], _RESHAPING), "slice")
    last = made_by(program, cut.inputs[0], "bilinear_interp")
    plain_bilinear(program, last)
    cropped = made_by(program, skip(program, last.inputs[0], _RESHAPING), "multiply")
    picked = made_by(program, cropped.inputs[0], "slice")
    first = made_by(program, picked.inputs[0], "bilinear_interp")
    plain_bilinear(program, first)
    size = fixed_size(program, first)
    _check_box_mask(program, cropped.inputs[1], rows, size)
    _check_sizes(program, last, cut, size)
    sigmoid = made_by(program, skip(program, first.inputs[0], _RESHAPING), "sigmoid")
    product = made_by(program, skip(program, sigmoid.inputs[0], _RESHAPING), "matmul")
    if product.attribute("transpose_x") or product.attribute("transpose_y"):
        raise NoMatchError(f"{product} transposes an operand")
    return product, size


def _check_sizes(program: Program, last: Operation, cut: Operation, size: tuple[int, int]) -> None:
    def canvas(im_shape: Float32Array, scale_factor: Float32Array) -> AnyArray:
        rounded: AnyArray = np.floor(np.array(size, np.float32) / scale_factor + np.float32(0.5))
        return rounded

    def original(im_shape: Float32Array, scale_factor: Float32Array) -> AnyArray:
        whole: AnyArray = np.trunc(im_shape / scale_factor)
        return whole

    if cut.attribute("axes") != [2, 3] or any(constant_list(program, cut.inputs[1])):
        raise NoMatchError(f"{cut} does not crop at the right and at the bottom")
    ends = listed(program, made_by(program, cut.inputs[2], "stack").inputs[0], 2)
    for rule, values in ((canvas, resize_target(program, last)), (original, ends)):
        for index, value in enumerate(values):
            if not follows(program, value, rule, index):
                raise NoMatchError("the masks are not resized to the original image")


def _check_box_mask(program: Program, value: int, rows: int, size: tuple[int, int]) -> None:
    """Check for `x0 <= x < x1 and y0 <= y < y1` on a grid of whole numbers."""
    pending, found = [skip(program, value, ("cast",))], set()
    while pending:
        op = made_by(
            program, pending.pop(), "multiply", "logical_and", "greater_equal", "less_than"
        )
        if op.name in ("pd_op.multiply", "pd_op.logical_and"):
            pending.extend(op.inputs)
            continue
        grid, corner = op.inputs
        split = program.maker(corner)
        if split is None or split.name != "builtin.split":
            raise NoMatchError(f"{op} does not compare with a corner of a box")
        parts = made_by(program, split.inputs[0], "split_with_num")
        _check_corners(program, skip(program, parts.inputs[0], ("unsqueeze",)), rows)
        axis = _grid_axis(program, grid, size)
        found.add((op.name, axis, split.outputs.index(corner)))
    wanted = {
        ("pd_op.greater_equal", "x", 0),
        ("pd_op.greater_equal", "y", 1),
        ("pd_op.less_than", "x", 2),
        ("pd_op.less_than", "y", 3),
    }
    if found != wanted:
        raise NoMatchError(f"masks are not zeroed outside their box, but by {found}")


def _grid_axis(program: Program, value: int, size: tuple[int, int]) -> str:
    """Axis of a grid of pixel indices 0, 1, 2, ..., size - 1: "x" or "y"."""
    shaped = made_by(program, value, "unsqueeze")
    kind = program.type_of(value)
    counted = made_by(program, shaped.inputs[0], "arange")
    bounds = [constant_number(program, operand) for operand in counted.inputs]
    if kind is None or len(kind.shape) != 3:
        raise NoMatchError(f"{shaped} is not a grid")
    for axis, name in ((1, "y"), (2, "x")):
        if kind.shape[axis] == size[axis - 1] and kind.shape[3 - axis] == 1:
            if bounds != [0, size[axis - 1], 1]:
                raise NoMatchError(f"{counted} does not count the pixels")
            return name
    raise NoMatchError(f"{shaped} is not a grid of the masks' size")


def _match_prototypes(program: Program, value: int) -> int:
    picked = made_by(program, skip(program, value, _RESHAPING), "slice")
    found = (picked.attribute("axes"), *(constant_list(program, v) for v in picked.inputs[1:]))
    if found != ([0], [0], [1]):
        raise NoMatchError(f"{picked} does not take the prototypes of the first image")
    return picked.inputs[0]


def _move_before(program: Program, anchor: Operation, last: Operation) -> None:
    """Move an operation and its dependencies from the regions of `anchor` to before it."""
    inside = {id(op) for op in anchor.walk()}
    chain: list[Operation] = []
    pending = [last]
    while pending:
        op = pending.pop()
        if id(op) not in inside or op in chain:
            continue
        chain.append(op)
        pending.extend(maker for v in op.inputs if (maker := program.maker(v)) is not None)
    order = {id(op): index for index, op in enumerate(program.walk())}
    chain.sort(key=lambda op: order[id(op)])
    program.remove(chain)
    program.insert(anchor, chain, after=False)
