# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import ClassVar

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
    """Replace NMS by a native step.

    Cases:
        1. `multiclass_nms3` on one box per class and region, with the number of regions per image:
           one native step.
        2. `multiclass_nms3` on boxes that all classes share: one native step.
        3. NMS in a branch: unchanged.
    """

    version: ClassVar[int] = 2

    def _apply(self, program: Program) -> PassResult:
        nms = one(program, "multiclass_nms3")
        if nms.parent is not program.block:
            raise NoMatchError(f"{nms} is not in the main block")
        native = make_native(
            program,
            "multiclass_nms",
            [value for value in nms.inputs if value != NO_VALUE],
            [("f32", [-1, 6]), ("i32", [-1, 1]), ("i32", [-1])],
            {name: nms.attribute(name) for name in _ATTRIBUTES},
        )
        program.insert(nms, [native], after=True)
        for old, new in zip(nms.outputs, native.outputs, strict=True):
            program.replace_value(old, new)
        program.remove([nms])
        return PassResult(program, modified=True, reason="NMS replaced by a native step")
