# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hpip.graph.match import constant_number, made_by, one
from hpip.graph.operation import Operation
from hpip.graph.passes.base import NoMatchError, Pass, PassResult
from hpip.graph.program import Program


class DropEmptyImageLoopPass(Pass):
    """Use the rows of NMS instead of the copy that a loop over the images makes of them.

    Exported models of the R-CNN family loop over the images of a batch, add a dummy box to images
    without boxes, and concatenate the parts again. hpip needs no dummy box.

    Cases:
        1. A `while` writes to an array the result of an `if` on "this image has no box", whose
           other branch is a part of the result of NMS: the concatenated array is replaced by the
           result of NMS. For boxes and counts, in any order.
        2. The array has other writes, or other content: unchanged.
        3. No NMS, or more than one: unchanged.

    Afterwards an image without boxes has no rows. Dead code elimination removes the loop once
    nothing reads its other results (see CutRegionMasksPass).
    """

    def _apply(self, program: Program) -> PassResult:
        nms = one(program, "multiclass_nms3")
        replaced: dict[int, int] = {}
        for joined in program.walk():
            if joined.name != "pd_op.array_to_tensor" or not _joins_rows(joined):
                continue
            source = _rows_in_array(program, joined.inputs[0], nms)
            if source is not None and program.readers(joined.outputs[0]):
                replaced[joined.outputs[0]] = source
        if not replaced:
            raise NoMatchError("no loop copies the result of NMS")
        for old, new in replaced.items():
            program.replace_value(old, new)
        reason = f"loop that copies the result of NMS removed ({len(replaced)} arrays)"
        return PassResult(program, modified=True, reason=reason)


def _joins_rows(op: Operation) -> bool:
    return op.attribute("axis") == 0 and not op.attribute("use_stack")


def _rows_in_array(program: Program, array: int, nms: Operation) -> int | None:
    """The result of NMS whose parts the array holds, or None."""
    writers = [op for op in program.readers(array) if op.name == "pd_op.array_write_"]
    if len(writers) != 1 or writers[0].parent is None:
        return None
    owner = writers[0].parent.owner
    branch = program.maker(writers[0].inputs[1])
    if owner is None or owner.name != "pd_op.while" or branch is None or branch.name != "pd_op.if":
        return None
    try:
        _check_condition(program, branch, nms)
        position = branch.outputs.index(writers[0].inputs[1])
        otherwise = branch.regions[1].blocks[0].operations[-1]
        piece = made_by(program, otherwise.inputs[position], "slice")
    except (NoMatchError, IndexError):
        return None
    rows, counts = nms.outputs[0], nms.outputs[2]
    whole = piece.inputs[0]
    return whole if whole in (rows, counts) and piece.attribute("axes") == [0] else None


def _check_condition(program: Program, branch: Operation, nms: Operation) -> None:
    """Check that the branch is taken if the count of one image is zero."""
    is_zero = made_by(program, branch.inputs[0], "equal")
    count = made_by(program, is_zero.inputs[0], "slice")
    if count.inputs[0] != nms.outputs[2] or constant_number(program, is_zero.inputs[1]) != 0:
        raise NoMatchError(f"{branch} does not test whether an image has no box")
