# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hpip.graph.builder import replace_outputs
from hpip.graph.liveness import remove_dead_code
from hpip.graph.match import (
    constant_list,
    constant_number,
    follows,
    input_value,
    listed,
    made_by,
    one,
    output_values,
    reader,
    rounded_original,
    skip,
)
from hpip.graph.operation import Operation
from hpip.graph.passes.base import NoMatchError, Pass, PassResult
from hpip.graph.program import Program
from hpip.types import MaskSource

_LAST = 2**31 - 1


class CutRegionMasksPass(Pass):
    """Truncate after NMS and the mask head, before masks are pasted into the image (R-CNN family).

    Scaling and clipping of the boxes, and pasting of each mask into its box, become mask
    post-processing, for the instances that pass the score threshold only.

    Cases:
        1. The boxes are those of NMS divided by scale_factor, clipped to the original image, with
           class -1 if they are empty afterwards; the masks are pasted in a loop over the images by
           `grid_sample(align_corners=False)` at those boxes and compared with `>= 0.5`: truncated.
        2. The boxes are not the rows of NMS (DropEmptyImageLoopPass did not match): unchanged.
        3. Another threshold, other sampling, or other operations on the boxes: unchanged.
    """

    def _apply(self, program: Program) -> PassResult:
        boxes, counts, masks = output_values(program, 3)
        nms = one(program, "multiclass_nms3")
        if counts != nms.outputs[2]:
            raise NoMatchError("the counts among the outputs are not those of NMS")
        _match_boxes(program, boxes, nms.outputs[0])
        probabilities = _match_paste(program, masks, boxes)
        replace_outputs(
            program, {"boxes": nms.outputs[0], "counts": counts, "masks": probabilities}
        )
        removed = remove_dead_code(program)
        source = MaskSource(
            "region", boxes_frame="network", threshold=0.5, inclusive=True, clips_boxes=True
        )
        reason = f"truncated before boxes are scaled and masks pasted, {removed} operations removed"
        return PassResult(program, modified=True, reason=reason, masks=source)


def _match_boxes(program: Program, boxes: int, rows: int) -> None:
    """Match `boxes` as `rows` scaled and clipped to the original image, empty ones marked."""
    joined = made_by(program, boxes, "concat")
    label, score, box = listed(program, joined.inputs[0], 3)
    chosen = made_by(program, label, "where")
    _check_columns(program, chosen.inputs[1], rows, 0, 1)
    _check_columns(program, score, rows, 1, 2)
    _check_empty_mark(program, chosen, box)
    corners = listed(program, made_by(program, box, "stack").inputs[0], 4)
    for index, corner in enumerate(corners):
        lower = made_by(program, corner, "maximum")
        upper = made_by(program, lower.inputs[0], "minimum")
        zero = made_by(program, lower.inputs[1], "full_like")
        if constant_number(program, zero.inputs[1]) != 0:
            raise NoMatchError("boxes are not clipped at 0")
        scaled = _check_columns(program, upper.inputs[0], None, index, index + 1)
        divided = made_by(program, scaled, "divide")
        _check_columns(program, divided.inputs[0], rows, 2, _LAST)
        _check_scale(program, divided.inputs[1])
        # x is clipped at the width, which comes second in im_shape; y at the height.
        size = _check_columns(program, upper.inputs[1], None, 1 - index % 2, 2 - index % 2)
        _check_original_size(program, size)


def _check_columns(program: Program, value: int, of: int | None, start: int, end: int) -> int:
    """Match a slice of columns start to end of `of` (None: of any value); returns its operand."""
    op = made_by(program, value, "slice")
    found = (op.attribute("axes"), *(constant_list(program, v) for v in op.inputs[1:]))
    if found != ([1], [start], [end]) or of not in (None, op.inputs[0]):
        raise NoMatchError(f"{op} does not take columns {start} to {end} of value {of}")
    return op.inputs[0]


def _check_empty_mark(program: Program, chosen: Operation, box: int) -> None:
    mark = made_by(program, chosen.inputs[2], "scale")
    ones = made_by(program, mark.inputs[0], "full_like")
    if constant_number(program, ones.inputs[1]) * constant_number(program, mark.inputs[1]) != -1:
        raise NoMatchError("boxes that are empty after clipping do not get class -1")
    both = made_by(program, skip(program, chosen.inputs[0], ("unsqueeze",)), "logical_and")
    for value, low in zip(both.inputs, (1, 0), strict=True):
        above = made_by(program, value, "greater_than")
        side = made_by(program, above.inputs[0], "subtract")
        _check_columns(program, side.inputs[0], box, low + 2, low + 3)
        _check_columns(program, side.inputs[1], box, low, low + 1)
        if constant_number(program, above.inputs[1]) != 0:
            raise NoMatchError("boxes are not compared with a size of 0")


def _repeated_in_loop(program: Program, value: int) -> int:
    """The value that a loop repeats per box of an image and concatenates over the images."""
    joined = made_by(program, value, "array_to_tensor")
    writer = reader(program, joined.inputs[0], "array_write_")
    return made_by(program, writer.inputs[1], "expand").inputs[0]


def _check_scale(program: Program, value: int) -> None:
    """Check for (x, y, x, y) of scale_factor, which holds (y, x) for each image."""
    factor = input_value(program, "scale_factor")
    joined = made_by(program, _repeated_in_loop(program, value), "concat")
    columns = []
    for part in listed(program, joined.inputs[0], 4):
        op = made_by(program, skip(program, part, ("unsqueeze",)), "slice")
        start = listed(program, made_by(program, op.inputs[1], "stack").inputs[0], 2)
        if op.inputs[0] != factor or op.attribute("axes") != [0, 1]:
            raise NoMatchError(f"{op} does not take a column of scale_factor")
        columns.append(constant_number(program, start[1]))
    if columns != [1, 0, 1, 0]:
        raise NoMatchError(f"boxes are divided by columns {columns} of scale_factor")


def _check_original_size(program: Program, value: int) -> None:
    whole = made_by(program, _repeated_in_loop(program, value), "slice").inputs[0]
    if not follows(program, whole, rounded_original):
        raise NoMatchError("boxes are not clipped to the original image")


def _match_paste(program: Program, masks: int, boxes: int) -> int:
    """Match the pasting of masks; returns the probabilities, one mask per box."""
    loop = made_by(program, masks, "while")
    sample = one(program, "grid_sample")
    if sample not in list(loop.walk()):
        raise NoMatchError("the masks are not pasted in the loop that returns them")
    wanted = {"mode": "bilinear", "padding_mode": "zeros", "align_corners": False}
    if {name: sample.attribute(name) for name in wanted} != wanted:
        raise NoMatchError(f"{sample} does not sample with {wanted}")
    picked = reader(program, sample.outputs[0], "slice")
    above = reader(program, picked.outputs[0], "greater_equal")
    if constant_number(program, above.inputs[1]) != 0.5:
        raise NoMatchError("the masks are not compared with >= 0.5")
    if boxes not in {value for op in loop.walk() for value in op.inputs}:
        raise NoMatchError("the masks are not pasted at the boxes among the outputs")
    piece = made_by(program, skip(program, sample.inputs[0], ("unsqueeze",)), "slice")
    return piece.inputs[0]
