# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import ClassVar

from hpip.graph.builder import make, replace_outputs, tensor_type
from hpip.graph.liveness import remove_dead_code
from hpip.graph.match import (
    constant_list,
    constant_number,
    follows,
    listed,
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
_LAST = 2**31 - 1


class CutImageMasksPass(Pass):
    """Truncate before mask logits are resized to the original image (Mask-RT-DETR).

    Cases:
        1. Three outputs; the last is `sigmoid(bilinear(logits, original size)) > 0.5`, cast and
           flattened: truncated before the resize; mask post-processing compares logits with 0.
        2. As 1, and the logits are gathered from `queries x prototypes`: truncated before that
           product, which is then computed only for instances that pass the score threshold.
        3. The threshold is another probability: unchanged.
        4. The resize does not use half-pixel centres, or its size is not that of the original image
           computed from im_shape and scale_factor: unchanged.
        5. The last output is anything else: unchanged.

    Boxes (in pixels of the original image) and counts do not change.
    """

    version: ClassVar[int] = 2

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
                raise NoMatchError("the masks are not resized to the original image")
        factors = _factors(program, resize.inputs[0])
        outputs = {"boxes": boxes, "counts": counts}
        replace_outputs(program, outputs | (factors or {"masks": resize.inputs[0]}))
        removed = remove_dead_code(program)
        source = MaskSource(
            "image",
            boxes_frame="image",
            threshold=0.0,
            inclusive=False,
            has_prototypes=factors is not None,
        )
        place = "the product of queries and prototypes" if factors else "the resize to the image"
        reason = f"truncated before {place}, {removed} operations removed"
        return PassResult(program, modified=True, reason=reason, masks=source)


def _factors(program: Program, logits: int) -> dict[str, int] | None:
    """Gathered queries and the prototypes if `logits` is their product; else None."""
    try:
        picked = made_by(program, logits, "gather_nd")
        shaped = made_by(program, _only_element(program, picked.inputs[0]), "reshape")
        product = made_by(program, shaped.inputs[0], "bmm")
        queries, flat = product.inputs
        prototypes = made_by(program, flat, "flatten").inputs[0]
    except NoMatchError:
        return None
    shapes = [
        kind.shape if kind is not None else ()
        for kind in map(program.type_of, (queries, prototypes, shaped.outputs[0], logits))
    ]
    query, prototype, every, kept = shapes
    if [len(shape) for shape in shapes] != [3, 4, 4, 4]:
        return None
    if query[2] != prototype[1] or every[1:] != (query[1], *prototype[2:]):
        return None
    kind = tensor_type("f32", (*kept[:2], query[2]))
    gathered = make(program, "pd_op.gather_nd", [queries, picked.inputs[1]], [kind])
    program.insert(picked, [gathered], after=True)
    return {"coefficients": gathered.outputs[0], "prototypes": prototypes}


def _only_element(program: Program, value: int) -> int:
    """The operand of a stack of one if `value` is its last element; else `value`."""
    op = program.maker(value)
    if op is None or op.name != "pd_op.slice":
        return value
    bounds = [constant_list(program, operand) for operand in op.inputs[1:]]
    stack = made_by(program, op.inputs[0], "stack")
    if (
        bounds != [[-1], [_LAST]]
        or op.attribute("axes") != [0]
        or op.attribute("decrease_axis") != [0]
        or stack.attribute("axis") != 0
    ):
        raise NoMatchError(f"{op} does not take the last element of a stack")
    return listed(program, stack.inputs[0], 1)[0]
