# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hpip.graph.constant_folding import constant
from hpip.graph.native_ops import is_native, make_native
from hpip.graph.operation import Operation
from hpip.graph.passes.base import NoMatchError, Pass, PassResult
from hpip.graph.program import Program


class LiftRowGathersPass(Pass):
    """Replace gathers of the rows of detected boxes by native steps, which saves a segment.

    Cases:
        1. `gather` along the first axis of a float32 matrix, at indices from a native step: one
           native step.
        2. Other indices, another axis, or a higher rank: unchanged.
    """

    def _apply(self, program: Program) -> PassResult:
        gathers = [op for op in program.block.operations if _picks_rows(program, op)]
        if not gathers:
            raise NoMatchError("no gather has indices from a native step")
        for gather in gathers:
            rows, indices, _ = gather.inputs
            kind = gather.output_types[0]
            shape = [-1, -1] if kind is None else kind.shape
            native = make_native(program, "gather_rows", [rows, indices], [("f32", shape)], {})
            program.insert(gather, [native], after=True)
            program.replace_value(gather.outputs[0], native.outputs[0])
        program.remove(gathers)
        return PassResult(
            program, modified=True, reason=f"row gathers replaced by native steps ({len(gathers)})"
        )


def _picks_rows(program: Program, op: Operation) -> bool:
    if op.name != "pd_op.gather":
        return False
    rows, indices, axis = op.inputs
    maker, kind, along = program.maker(indices), program.type_of(rows), constant(program, axis)
    return (
        maker is not None
        and is_native(maker)
        and kind is not None
        and kind.dtype == "f32"
        and len(kind.shape) == 2
        and along is not None
        and along.item() == 0
    )
