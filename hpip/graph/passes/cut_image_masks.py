# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hpip.graph.builder import replace_outputs
from hpip.graph.liveness import remove_dead_code
from hpip.graph.match import (
    constant_number,
    follows,
    made_by,
    output_values,
    plain_bilinear,
    resize_target,
    rounded_original,
    skip,
)
from hpip.graph.passes.base import NoMatchError, Pass, PassResult
from hpip.graph.program import Program
from hpip.types import MaskSource

_RESHAPING = ("cast", "flatten", "reshape", "squeeze")


class CutImageMasksPass(Pass):
    """Return mask logits as the network makes them, before they are resized to the whole image.

    Cases:
        1. Three outputs; the last is `sigmoid(bilinear(logits, original size)) > 0.5`, cast and
           flattened: cut before the resize, the native side compares logits with 0.
        2. The threshold is another probability: left alone.
        3. The resize does not sample at pixel centres, or its size does not follow from im_shape
           and scale_factor as the original's does: left alone.
        4. Any other last output: left alone.

    Boxes and counts stay as they are: boxes in pixels of the original.
    """

    def _apply(self, program: Program) -> PassResult:
        boxes, counts, masks = output_values(program, 3)
        above = made_by(program, skip(program, masks, _RESHAPING), "greater_than")
        if constant_number(program, above.inputs[1]) != 0.5:
            raise NoMatchError("the masks are not compared with 0.5")
        sigmoid = made_by(program, above.inputs[0], "sigmoid")
        resize = made_by(program, sigmoid.inputs[0], "bilinear_interp")
        plain_bilinear(program, resize)
        height, width = resize_target(program, resize)
        for index, value in enumerate((height, width)):
            if not follows(program, value, rounded_original, index):
                raise NoMatchError("the masks are not resized to the size of the original")
        replace_outputs(program, {"boxes": boxes, "counts": counts, "masks": resize.inputs[0]})
        removed = remove_dead_code(program)
        source = MaskSource("image", boxes_frame="image", threshold=0.0, inclusive=False)
        reason = f"cut before the resize to the image, {removed} operations removed"
        return PassResult(program, modified=True, reason=reason, masks=source)
