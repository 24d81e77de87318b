# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from hpip.graph.builder import replace_outputs
from hpip.graph.liveness import remove_dead_code
from hpip.graph.match import (
    constant_list,
    constant_number,
    fixed_size,
    follows,
    listed,
    made_by,
    output_values,
    plain_bilinear,
    resize_target,
    skip,
)
from hpip.graph.operation import Operation
from hpip.graph.passes.base import NoMatchError, Pass, PassResult
from hpip.graph.program import Program
from hpip.types import AnyArray, Float32Array, MaskSource

_RESHAPING = ("cast", "squeeze", "unsqueeze")


class CutMatrixNmsMasksPass(Pass):
    """Truncate after matrix NMS, before masks are resized to the original image (SOLOv2).

    Cases:
        1. Four outputs: count, class ids, scores, masks; the masks are resized to a fixed size,
           cropped to the resized image, resized to the original image (both sides divided by the
           vertical scale factor, as in PaddleX's exported models) and compared with `> 0.5`:
           truncated before the first resize.
        2. Other sizes, another order or another threshold: unchanged.
        3. Another number of outputs: unchanged.

    The first output, the length of the second one, is dropped.
    """

    def _apply(self, program: Program) -> PassResult:
        count, class_ids, scores, masks = output_values(program, 4)
        _check_count(program, count, class_ids)
        above = made_by(program, skip(program, masks, _RESHAPING), "greater_than")
        if constant_number(program, above.inputs[1]) != 0.5:
            raise NoMatchError("the masks are not compared with 0.5")
        last = made_by(program, skip(program, above.inputs[0], _RESHAPING), "bilinear_interp")
        plain_bilinear(program, last)
        cut = made_by(program, last.inputs[0], "slice")
        first = made_by(program, cut.inputs[0], "bilinear_interp")
        plain_bilinear(program, first)
        _check_sizes(program, last, cut)
        values = skip(program, first.inputs[0], _RESHAPING)
        upsample_hw = fixed_size(program, first)
        replace_outputs(program, {"class_ids": class_ids, "scores": scores, "masks": values})
        removed = remove_dead_code(program)
        source = MaskSource(
            "image",
            boxes_frame="none",
            threshold=0.5,
            inclusive=False,
            upsample_hw=upsample_hw,
            crops_to_image=True,
            canvas="row_scaled",
        )
        reason = f"truncated after matrix NMS, {removed} operations removed"
        return PassResult(program, modified=True, reason=reason, masks=source)


def _check_count(program: Program, count: int, class_ids: int) -> None:
    length = made_by(program, count, "slice")
    shape = made_by(program, length.inputs[0], "shape64", "shape")
    if shape.inputs[0] != class_ids:
        raise NoMatchError("the first output is not the number of class ids")


def _check_sizes(program: Program, last: Operation, cut: Operation) -> None:
    def resized(im_shape: Float32Array, scale_factor: Float32Array) -> AnyArray:
        whole: AnyArray = np.trunc(im_shape)
        return whole

    def original(im_shape: Float32Array, scale_factor: Float32Array) -> AnyArray:
        rounded: AnyArray = np.trunc(im_shape / scale_factor[0] + np.float32(0.5))
        return rounded

    size, same = resize_target(program, last)
    if size != same or not follows(program, size, original):
        raise NoMatchError("the masks are not resized to the original image")
    if cut.attribute("axes") != [2, 3] or any(constant_list(program, cut.inputs[1])):
        raise NoMatchError(f"{cut} does not crop at the right and at the bottom")
    ends = listed(program, made_by(program, cut.inputs[2], "stack").inputs[0], 2)
    for index, value in enumerate(ends):
        if not follows(program, value, resized, index):
            raise NoMatchError("the masks are not cropped to the resized image")
