# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hpip.graph.batching import takes_first_image
from hpip.graph.builder import full, integers, make, make_integers, tensor_type
from hpip.graph.liveness import remove_dead_code
from hpip.graph.match import constant_list, constant_number, input_value, listed, made_by
from hpip.graph.native_ops import is_native, make_native, native_kind
from hpip.graph.operation import Operation
from hpip.graph.passes.base import NoMatchError, Pass, PassResult
from hpip.graph.program import Program

# These keep one row per box, unless they change the first axis; see `_ProposalRows`.
_ROW_WISE = frozenset(
    "pd_op." + name
    for name in (
        *("add", "subtract", "multiply", "scale", "exp", "relu", "clip", "minimum", "matmul"),
        *("flatten", "reshape", "unsqueeze", "slice", "strided_slice", "stack"),
    )
)
_MAX_FLOAT32 = 3.4028234663852886e38


class SeparateImagesPass(Pass):
    """Give the stages of a cascade the size and the number of boxes of each image.

    Exported Cascade models take one image: each stage clips its boxes to the size of the first
    image, and pools all boxes from the features of the first image.

    Cases:
        1. `clip` of a column of boxes to a side of the first image: the side of each box's image.
        2. `expand(size of the first image, [number of its boxes, 2])`: the sizes of all images,
           each repeated for its boxes.
        3. RoIAlign of boxes whose number is that of all boxes: the number of proposals per image.
        4. Another use of the first image, or boxes that are not those of the proposals in the same
           order: unchanged.
    """

    def _apply(self, program: Program) -> PassResult:
        proposals = _proposals(program)
        boxes, counts = proposals.outputs
        rows = _ProposalRows(program, boxes)
        sides, repeats = _uses_of_first_image(program, counts, rows)
        pools = list(_undivided_pools(program, counts, rows))
        im_shape = input_value(program, "im_shape")
        sizes = make_native(program, "repeat_rows", [im_shape, counts], [("f32", [-1, 2])], {})
        program.insert(proposals, [sizes], after=True)
        for side in sides:
            _clip_to_own_image(program, side, sizes.outputs[0])
        for repeat in repeats:
            program.replace_value(repeat, sizes.outputs[0])
        for pool in pools:
            pool.set_input(len(pool.inputs) - 1, counts)
        program.touch()
        remove_dead_code(program)
        reason = f"{len(sides) + len(repeats)} uses of the first image's size replaced"
        return PassResult(program, modified=True, reason=reason)


@dataclass(frozen=True)
class _Side:
    """Height (index 0) or width (1) of the first image, and the clips of boxes that use it."""

    maker: Operation
    index: int
    clips: list[Operation]


def _proposals(program: Program) -> Operation:
    found = [
        op
        for op in program.block.operations
        if is_native(op) and native_kind(op) == "generate_proposals"
    ]
    if len(found) != 1:
        raise NoMatchError(f"expected one native step that makes proposals, found {len(found)}")
    return found[0]


def _uses_of_first_image(
    program: Program, counts: int, rows: _ProposalRows
) -> tuple[list[_Side], list[int]]:
    """Cases 1 and 2: sides that boxes are clipped to, and repeated sizes."""
    sides, repeats = [], []
    found = [op for op in program.block.operations if takes_first_image(program, op)]
    if not found:
        raise NoMatchError("no operation takes the first image of a batch")
    for first in found:
        if first.inputs[0] != input_value(program, "im_shape"):
            raise NoMatchError(f"{first} takes something other than the size of the first image")
        for reader in program.readers(first.outputs[0]):
            if reader.name == "pd_op.expand":
                _require_count_of_first_image(program, reader, counts)
                repeats.append(reader.outputs[0])
            else:
                sides.append(_side(program, reader, rows))
    return sides, repeats


def _require_count_of_first_image(program: Program, repeat: Operation, counts: int) -> None:
    target = made_by(program, repeat.inputs[1], "stack")
    count, _ = listed(program, target.inputs[0], 2)
    picked = made_by(program, count, "slice")
    bounds = [constant_list(program, value) for value in picked.inputs[1:]]
    kind = repeat.output_types[0]
    if picked.inputs[0] != counts or bounds != [[0], [1]] or kind is None or kind.shape != (-1, 2):
        raise NoMatchError(f"{repeat} does not repeat the size for the boxes of the first image")


def _side(program: Program, op: Operation, rows: _ProposalRows) -> _Side:
    if op.name != "pd_op.slice":
        raise NoMatchError(f"{op} reads the size of the first image")
    start, end = (constant_list(program, value) for value in op.inputs[1:])
    clips = program.readers(op.outputs[0])
    if (start, end) not in (([0], [1]), ([1], [2])) or not clips:
        raise NoMatchError(f"{op} does not take a side of the first image")
    for clip in clips:
        kind = clip.output_types[0]
        if (
            clip.name != "pd_op.clip"
            or clip.inputs[2] != op.outputs[0]
            or constant_number(program, clip.inputs[1]) != 0
            or kind is None
            or kind.shape != (-1,)
            or not rows.has(clip.inputs[0])
        ):
            raise NoMatchError(f"{clip} does not clip a column of the boxes to the first image")
    return _Side(op, int(start[0]), clips)


def _undivided_pools(program: Program, counts: int, rows: _ProposalRows) -> Iterator[Operation]:
    """Case 3: RoIAlign that takes the boxes of all images as those of one."""
    for op in program.block.operations:
        if not is_native(op) or native_kind(op) != "roi_align":
            continue
        boxes, number = op.inputs[-2:]
        maker = program.maker(number)
        if number == counts or (maker is not None and maker.name == "pd_op.multiclass_nms3"):
            continue
        joined = made_by(program, number, "concat")
        (part,) = listed(program, joined.inputs[0], 1)
        length = made_by(program, part, "slice")
        bounds = [constant_list(program, value) for value in length.inputs[1:]]
        shape = made_by(program, length.inputs[0], "shape64", "shape")
        if bounds != [[0], [1]] or shape.inputs[0] != boxes or not rows.has(boxes):
            raise NoMatchError(f"{op} does not pool all boxes of the proposals")
        yield op


def _clip_to_own_image(program: Program, side: _Side, sizes: int) -> None:
    bounds = [make_integers(program, [side.index + offset]) for offset in (0, 1)]
    column = make(
        program,
        "pd_op.slice",
        [sizes, *(op.outputs[0] for op in bounds)],
        [tensor_type("f32", [-1])],
        {name: integers([1]) for name in ("axes", "infer_flags", "decrease_axis")},
    )
    unlimited = full(program, _MAX_FLOAT32, "f32", "float32")
    program.insert(side.maker, [*bounds, column, unlimited], after=False)
    for clip in side.clips:
        nearest = make(
            program,
            "pd_op.minimum",
            [clip.inputs[0], column.outputs[0]],
            [tensor_type("f32", [-1])],
        )
        program.insert(clip, [nearest], after=False)
        clip.set_input(0, nearest.outputs[0])
        clip.set_input(2, unlimited.outputs[0])


class _ProposalRows:
    """Finds the values that have one row per proposal, in the order of the proposals.

    The number of boxes is the only dynamic length in the stages of a cascade. So an operation keeps
    the rows if only the first axis of its result is dynamic, its other operands are weights and
    constants, and it does not select, merge or reorder rows.
    """

    def __init__(self, program: Program, boxes: int) -> None:
        self._program = program
        self._known = {boxes: True}

    def has(self, value: int) -> bool:
        if value not in self._known:
            self._known[value] = self._is_kept(value)
        return self._known[value]

    def _is_kept(self, value: int) -> bool:
        op = self._program.maker(value)
        if op is None:
            return False
        if is_native(op):
            return native_kind(op) == "roi_align" and self.has(op.inputs[-2])
        if op.name == "builtin.combine":
            return all(self.has(part) for part in op.inputs)
        if op.name == "builtin.split":
            whole = self._program.maker(op.inputs[0])
            return (
                len(op.outputs) == 1
                and whole is not None
                and whole.name == "pd_op.split"
                and self.has(whole.inputs[0])
            )
        return op.name in _ROW_WISE and self._keeps_rows(op)

    def _keeps_rows(self, op: Operation) -> bool:
        kind, first = op.output_types[0], self._program.type_of(op.inputs[0])
        if kind is None or kind.shape[:1] != (-1,) or -1 in kind.shape[1:]:
            return False
        if op.has_attribute("axes") and min(op.attribute("axes")) < 1:
            return False
        if op.name in ("pd_op.flatten", "pd_op.reshape") and (
            first is None or math.prod(first.shape[1:]) != math.prod(kind.shape[1:])
        ):
            return False
        dynamic = [value for value in op.inputs if not self._is_static(value)]
        return bool(dynamic) and all(self.has(value) for value in dynamic)

    def _is_static(self, value: int) -> bool:
        kind = self._program.type_of(value)
        return kind is not None and -1 not in kind.shape
