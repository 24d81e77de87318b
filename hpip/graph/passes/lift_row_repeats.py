# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hpip.graph.image_loop import image_loop, joined_arrays, row_of_image, written_values
from hpip.graph.liveness import remove_dead_code
from hpip.graph.match import constant_number, listed, made_by
from hpip.graph.native_ops import make_native
from hpip.graph.operation import NO_VALUE, Operation
from hpip.graph.passes.base import NoMatchError, Pass, PassResult
from hpip.graph.program import Program


class LiftRowRepeatsPass(Pass):
    """Replace loops that repeat a row of each image for each of its boxes by native steps.

    Cases:
        1. A `while` over the images writes `expand(row of the image, [boxes of the image, C])` to
           an array that is concatenated after it: the loop is removed.
        2. Other values are written, or it is another loop: unchanged.
    """

    def _apply(self, program: Program) -> PassResult:
        reasons, repeated = [], 0
        for loop in [op for op in program.block.operations if op.name == "pd_op.while"]:
            try:
                array, rows, counts, width = _repeated(program, loop)
            except NoMatchError as error:
                reasons.append(str(error))
                continue
            native = make_native(program, "repeat_rows", [rows, counts], [("f32", [-1, width])], {})
            program.insert(loop, [native], after=True)
            for old in joined_arrays(program, array):
                program.replace_value(old, native.outputs[0])
                repeated += 1
        if not repeated:
            raise NoMatchError("; ".join(reasons) or "there is no loop")
        removed = remove_dead_code(program)
        reason = (
            f"loops that repeat rows replaced by native steps ({repeated}), "
            f"{removed} operations removed"
        )
        return PassResult(program, modified=True, reason=reason)


def _repeated(program: Program, loop: Operation) -> tuple[int, int, int, int]:
    """Array, rows, counts and row length of a loop of case 1."""
    images = image_loop(program, loop)
    writers = [op for op in images.body.operations if op.name == "pd_op.array_write_"]
    if len(writers) != 1 or written_values(program, writers[0].inputs[0]) is not writers[0]:
        raise NoMatchError(f"{loop} does not write to one array only")
    expand = made_by(program, writers[0].inputs[1], "expand")
    rows = row_of_image(program, images, expand.inputs[0], drops_axis=True)
    target = made_by(program, expand.inputs[1], "stack")
    count, length = listed(program, target.inputs[0], 2)
    counts = row_of_image(program, images, count, drops_axis=True)
    kind = program.type_of(rows)
    width = int(constant_number(program, length))
    if NO_VALUE in (rows, counts) or kind is None or kind.dtype != "f32":
        raise NoMatchError(f"{loop} does not repeat float32 rows")
    if kind.shape[1:] != (width,):
        raise NoMatchError(f"{loop} repeats rows of shape {kind.shape[1:]} with length {width}")
    return writers[0].inputs[0], rows, counts, width
