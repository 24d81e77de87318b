# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpip.graph.image_loop import (
    ImageLoop,
    image_loop,
    joined_arrays,
    row_of_image,
    written_values,
)
from hpip.graph.liveness import remove_dead_code
from hpip.graph.match import constant_number, input_value, listed, made_by, reader
from hpip.graph.native_ops import make_native
from hpip.graph.operation import Operation
from hpip.graph.passes.base import NoMatchError, Pass, PassResult
from hpip.graph.program import Program

_ATTRIBUTES = {
    "pre_nms_top_n": "pre_nms_top_n",
    "post_nms_top_n": "post_nms_top_n",
    "nms_thresh": "nms_threshold",
    "min_size": "min_size",
    "eta": "eta",
    "pixel_offset": "pixel_offset",
}


class LiftProposalsPass(Pass):
    """Replace the region proposals of all images and levels by one native step.

    Exported models loop over the images in a `while`, which converters do not support (paddle2onnx
    2.1 aborts the process); the loop is removed.

    Cases:
        1. One level: the loop writes the boxes of `generate_proposals` and their number to arrays
           that are concatenated after it.
        2. Several levels: boxes and scores are concatenated over the levels, and if there are more
           than N, `topk` and `gather` select the N with the highest scores.
        3. Variances other than 1, levels with different attributes, anchors made inside the loop,
           or another selection: unchanged.
    """

    def _apply(self, program: Program) -> PassResult:
        loop = _proposal_loop(program)
        images = image_loop(program, loop)
        proposals = [op for op in images.body.operations if op.name == "pd_op.generate_proposals"]
        attributes = _attributes(proposals)
        levels = [_level(program, images, op) for op in proposals]
        boxes, attributes["top_n"] = _collected(program, proposals)
        box_array, count_array = _arrays(program, images, boxes)
        scores, deltas, anchors = zip(*levels, strict=True)
        native = make_native(
            program,
            "generate_proposals",
            [*scores, *deltas, *anchors, input_value(program, "im_shape")],
            [("f32", [-1, 4]), ("i64", [-1])],
            {"levels": len(levels), **attributes},
        )
        program.insert(loop, [native], after=True)
        for array, new in zip((box_array, count_array), native.outputs, strict=True):
            for old in joined_arrays(program, array):
                program.replace_value(old, new)
        removed = remove_dead_code(program)
        reason = (
            f"proposals of {len(levels)} levels replaced by a native step, "
            f"{removed} operations removed"
        )
        return PassResult(program, modified=True, reason=reason)


def _proposal_loop(program: Program) -> Operation:
    found = [
        op
        for op in program.block.operations
        if op.name == "pd_op.while"
        and any(inner.name == "pd_op.generate_proposals" for inner in op.walk())
    ]
    if len(found) != 1:
        raise NoMatchError(f"expected one loop that makes proposals, found {len(found)}")
    return found[0]


def _attributes(proposals: Sequence[Operation]) -> dict[str, Any]:
    found = [{new: op.attribute(old) for old, new in _ATTRIBUTES.items()} for op in proposals]
    if any(other != found[0] for other in found):
        raise NoMatchError("the levels have different attributes")
    return found[0]


def _level(program: Program, images: ImageLoop, op: Operation) -> tuple[int, int, int]:
    """Scores, deltas and anchors of one level, for all images."""
    scores, deltas, im_shape, anchors, variances = op.inputs
    whole = [
        row_of_image(program, images, value, drops_axis=False)
        for value in (scores, deltas, im_shape)
    ]
    if whole[2] != input_value(program, "im_shape"):
        raise NoMatchError(f"{op} does not clip boxes to im_shape")
    ones = made_by(program, variances, "full_like")
    if constant_number(program, ones.inputs[1]) != 1:
        raise NoMatchError(f"{op} has variances other than 1")
    maker = program.maker(anchors)
    if maker is None or maker.parent is not program.block:
        raise NoMatchError(f"the anchors of {op} are made inside the loop")
    return whole[0], whole[1], anchors


def _collected(program: Program, proposals: Sequence[Operation]) -> tuple[int, int]:
    """The boxes of one image, and their maximum number; 0 without a further limit."""
    if len(proposals) == 1:
        return proposals[0].outputs[0], 0
    boxes, scores = (_joined(program, [op.outputs[index] for op in proposals]) for index in (0, 1))
    flat = reader(program, scores, "flatten").outputs[0]
    best = reader(program, flat, "topk")
    owner = None if best.parent is None else best.parent.owner
    if owner is None or owner.name != "pd_op.if":
        raise NoMatchError(f"{best} is not inside an `if` on the number of boxes")
    top_n = int(constant_number(program, best.inputs[1]))
    above = made_by(program, owner.inputs[0], "greater_than")
    if constant_number(program, above.inputs[1]) != top_n or not best.attribute("largest"):
        raise NoMatchError(f"{best} does not select the boxes with the highest scores")
    picked = reader(program, boxes, "gather")
    if picked.inputs[1] != best.outputs[1]:
        raise NoMatchError(f"{picked} does not gather the boxes with the highest scores")
    position = _yielded(owner, 0).index(picked.outputs[0])
    if _yielded(owner, 1)[position] != boxes:
        raise NoMatchError(f"{owner} does not return all boxes below the limit")
    return owner.outputs[position], top_n


def _joined(program: Program, parts: Sequence[int]) -> int:
    """The `concat` along the first axis of exactly these values."""
    combined = reader_of(program, parts[0], "builtin.combine")
    joined = reader(program, combined.outputs[0], "concat")
    if (
        listed(program, combined.outputs[0], len(parts)) != tuple(parts)
        or constant_number(program, joined.inputs[1]) != 0
    ):
        raise NoMatchError("the levels are not concatenated along the first axis")
    return joined.outputs[0]


def reader_of(program: Program, value: int, name: str) -> Operation:
    """The only operation with this full name that reads `value`."""
    found = [op for op in program.readers(value) if op.name == name]
    if len(found) != 1:
        raise NoMatchError(f"expected one {name} to read value {value}, found {len(found)}")
    return found[0]


def _yielded(branch: Operation, region: int) -> tuple[int, ...]:
    return branch.regions[region].blocks[0].operations[-1].inputs


def _arrays(program: Program, images: ImageLoop, boxes: int) -> tuple[int, int]:
    """Arrays to which the loop writes the boxes of an image and their number."""
    box_array = reader(program, boxes, "array_write_").inputs[0]
    for op in images.body.operations:
        if op.name != "pd_op.array_write_" or op.inputs[0] == box_array:
            continue
        length = made_by(program, op.inputs[1], "slice")
        shape = made_by(program, length.inputs[0], "shape64", "shape")
        if shape.inputs[0] == boxes and written_values(program, op.inputs[0]) is op:
            written_values(program, box_array)
            return box_array, op.inputs[0]
    raise NoMatchError("the loop does not write the number of boxes per image to an array")
