# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hpip.graph.match import one
from hpip.graph.native_ops import make_native
from hpip.graph.operation import NO_VALUE
from hpip.graph.passes.base import NoMatchError, Pass, PassResult
from hpip.graph.program import Program

_ATTRIBUTES = (
    "score_threshold",
    "nms_top_k",
    "keep_top_k",
    "nms_threshold",
    "normalized",
    "nms_eta",
    "background_label",
)


class LiftNmsPass(Pass):
    """Leave suppression of overlapping boxes to the native side.

    Cases:
        1. `multiclass_nms3` on a box for each class of each region, with the number of regions of
           each image: one native step.
        2. NMS on boxes that all classes share, NMS whose indices are read, or in a branch: left
           alone. (One-stage models run in one segment.)
    """

    def _apply(self, program: Program) -> PassResult:
        nms = one(program, "multiclass_nms3")
        rows, indices, counts = nms.outputs
        if nms.inputs[2] == NO_VALUE or nms.parent is not program.block:
            raise NoMatchError(f"{nms} does not suppress among regions of the main block")
        if program.readers(indices):
            raise NoMatchError(f"the indices of {nms} are read")
        native = make_native(
            program,
            "multiclass_nms",
            nms.inputs,
            [("f32", [-1, 6]), ("i32", [-1])],
            {name: nms.attribute(name) for name in _ATTRIBUTES},
        )
        program.insert(nms, [native], after=True)
        for old, new in zip((rows, counts), native.outputs, strict=True):
            program.replace_value(old, new)
        program.remove([nms])
        return PassResult(program, modified=True, reason="suppression of boxes lifted")
