# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpip.graph.liveness import remove_dead_code
from hpip.graph.match import constant_list, constant_number, made_by, reader
from hpip.graph.native_ops import make_native
from hpip.graph.operation import Operation
from hpip.graph.passes.base import NoMatchError, Pass, PassResult
from hpip.graph.program import Program

_POOLING = ("pooled_height", "pooled_width", "sampling_ratio", "aligned")
_LEVELS = ("min_level", "max_level", "refer_level", "refer_scale", "pixel_offset")


class LiftRoiAlignPass(Pass):
    """Replace RoIAlign, including the assignment of boxes to FPN levels, by a native step.

    Cases:
        1. `distribute_fpn_proposals`, a `roi_align` per level, and results that are concatenated
           and restored to the order of the boxes by `gather`: one native step.
        2. A `roi_align` on all boxes: one native step.
        3. Levels with different output sizes, or other uses of their results: unchanged.

    If the boxes are the last four columns of the rows of NMS, the step reads those rows.
    """

    def _apply(self, program: Program) -> PassResult:
        found = [
            _match_levels(program, op)
            for op in program.block.operations
            if op.name == "pd_op.distribute_fpn_proposals"
        ]
        seen = {id(op) for pooling in found for op in pooling.levels}
        found += [
            _Pooling(op, [op], op.inputs[1:], {})
            for op in program.block.operations
            if op.name == "pd_op.roi_align" and id(op) not in seen
        ]
        if not found:
            raise NoMatchError("there is no RoIAlign outside of control flow")
        natives = [_native(program, pooling) for pooling in found]
        for pooling, native in zip(found, natives, strict=True):
            program.insert(pooling.last, [native], after=True)
            program.replace_value(pooling.last.outputs[0], native.outputs[0])
        remove_dead_code(program)
        return PassResult(
            program, modified=True, reason=f"RoIAlign replaced by native steps ({len(found)})"
        )


@dataclass(frozen=True)
class _Pooling:
    """RoIAlign of several levels; `last` returns the features of all boxes in order."""

    last: Operation
    levels: Sequence[Operation]
    boxes_and_counts: Sequence[int]
    assignment: dict[str, Any]


def _match_levels(program: Program, assignment: Operation) -> _Pooling:
    boxes, counts, restore = assignment.outputs
    ordered = reader(program, restore, "gather")
    joined = made_by(program, ordered.inputs[0], "concat")
    if any(constant_number(program, op.inputs[-1]) != 0 for op in (ordered, joined)):
        raise NoMatchError(f"{ordered} does not restore the order of the boxes")
    combined = program.maker(joined.inputs[0])
    pooled = [] if combined is None else [program.maker(value) for value in combined.inputs]
    levels = [op for op in pooled if op is not None and op.name == "pd_op.roi_align"]
    parts = [_parts(program, value) for value in (boxes, counts)]
    if not levels or [op.inputs[1:] for op in levels] != list(zip(*parts, strict=True)):
        raise NoMatchError(f"{joined} does not concatenate one RoIAlign per level")
    attributes = {name: assignment.attribute(name) for name in _LEVELS}
    return _Pooling(ordered, levels, assignment.inputs, attributes)


def _parts(program: Program, value: int) -> tuple[int, ...]:
    found = [op for op in program.readers(value) if op.name == "builtin.split"]
    if len(found) != 1:
        raise NoMatchError(f"the levels in value {value} are not separated by one split")
    return found[0].outputs


def _native(program: Program, pooling: _Pooling) -> Operation:
    levels = pooling.levels
    options = {name: levels[0].attribute(name) for name in _POOLING}
    if any({name: op.attribute(name) for name in _POOLING} != options for op in levels):
        raise NoMatchError(f"{levels[0]} and the other levels have different attributes")
    kind = pooling.last.output_types[0]
    if kind is None:
        raise NoMatchError(f"{pooling.last} does not return a tensor")
    boxes, counts = pooling.boxes_and_counts
    return make_native(
        program,
        "roi_align",
        [*(op.inputs[0] for op in levels), _rows_of(program, boxes), counts],
        [(kind.dtype, kind.shape)],
        {
            **pooling.assignment,
            **options,
            "spatial_scales": [op.attribute("spatial_scale") for op in levels],
        },
    )


def _rows_of(program: Program, boxes: int) -> int:
    """The rows of class, score and box that the boxes are sliced from; else the boxes."""
    op = program.maker(boxes)
    kind = program.type_of(op.inputs[0]) if op is not None and op.name == "pd_op.slice" else None
    if op is None or kind is None or kind.shape[1:] != (6,) or op.attribute("axes") != [1]:
        return boxes
    start, end = (constant_list(program, bound) for bound in op.inputs[1:])
    return op.inputs[0] if start == [2] and end[0] >= 6 else boxes
