# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hpip.graph.match import constant_list, constant_number, made_by
from hpip.graph.operation import Operation
from hpip.graph.passes.base import NoMatchError, Pass, PassResult
from hpip.graph.program import Program

_CONSTANTS = frozenset({"pd_op.full", "pd_op.full_int_array", "cf.yield"})


class InlineEmptyBranchPass(Pass):
    """Inline the branch of an `if` on "there are rows", which returns no rows for no rows.

    Exported models of the R-CNN family guard the mask head that way. Converters and engines do not
    support control flow, and the guard saves little.

    Cases:
        1. `if (rows of X == 0) constants else work(X)`, where each result of the work has a dynamic
           first axis: the work moves before the `if`, which is removed.
        2. Another condition, computed values in the first branch, or a result with a static first
           axis: unchanged.

    Afterwards the results for no rows have length 0, instead of being the constants.
    """

    def _apply(self, program: Program) -> PassResult:
        inlined = [op for op in list(program.walk()) if _guards_empty_rows(program, op)]
        if not inlined:
            raise NoMatchError("no `if` guards work on zero rows")
        for branch in inlined:
            work = branch.regions[1].blocks[0].operations
            yielded = work[-1].inputs
            program.insert(branch, work[:-1], after=False)
            program.remove([branch])
            for old, new in zip(branch.outputs, yielded, strict=True):
                program.replace_value(old, new)
        return PassResult(
            program, modified=True, reason=f"`if` for zero rows inlined ({len(inlined)})"
        )


def _guards_empty_rows(program: Program, branch: Operation) -> bool:
    if branch.name != "pd_op.if" or len(branch.regions) != 2:
        return False
    empty, work = (region.blocks[0].operations for region in branch.regions)
    try:
        is_zero = made_by(program, branch.inputs[0], "equal")
        length = made_by(program, is_zero.inputs[0], "slice")
        bounds = [constant_list(program, value) for value in length.inputs[1:]]
        made_by(program, length.inputs[0], "shape64", "shape")
        if constant_number(program, is_zero.inputs[1]) != 0 or bounds != [[0], [1]]:
            return False
    except NoMatchError:
        return False
    kinds = [program.type_of(value) for value in work[-1].inputs]
    return all(op.name in _CONSTANTS for op in empty) and all(
        kind is not None and kind.shape[:1] == (-1,) for kind in kinds
    )
