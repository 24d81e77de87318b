# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hpip.graph.batching import normalizes_by_input, takes_first_image
from hpip.graph.builder import make, single
from hpip.graph.image_rows import image_rows
from hpip.graph.operation import Operation
from hpip.graph.passes.base import NoMatchError, Pass, PassResult
from hpip.graph.program import Program


class NormalizeEachImagePass(Pass):
    """Let a batch norm that takes its statistics from the input take them from each image.

    Exports of Paddle carry batch norms that are told to use the statistics of what they are given,
    also at inference. For one image that is instance normalization; for several it would mix them,
    so that an image's answer depends on its neighbours. Engines other than Paddle would take the
    stored statistics instead, and give other answers.

    Paddle's two operators round differently: a model that magnifies this is compiled without the
    pass (`EXACT_PASSES`).

    Cases:
        1. `batch_norm_` with `trainable_statistics` and without `use_global_stats`, of 4-D values
           in NCHW whose rows are the images: becomes `instance_norm`.
        2. Stored statistics: left alone.
        3. Rows that are not images, such as regions behind RoIAlign: left alone, since the
           statistics go over all of them.
        4. Saved statistics or other by-products that something reads: left alone.
        5. A program that takes one image at a time all the same, for rows of case 3 or because it
           picks the first image: left alone, since nothing but the rounding would change.
    """

    version = 2

    def _apply(self, program: Program) -> PassResult:
        images = image_rows(program)
        normalizing = [op for op in program.walk() if normalizes_by_input(op)]
        found = [op for op in normalizing if _fits(program, op, images)]
        if not found:
            raise NoMatchError("no batch norm takes its statistics from images")
        if len(found) < len(normalizing) or any(
            takes_first_image(program, op) for op in program.walk()
        ):
            raise NoMatchError("the program takes one image at a time all the same")
        for op in found:
            value, _, _, scale, bias = op.inputs
            kinds = [op.output_type_json(0), op.output_type_json(1), op.output_type_json(2)]
            attributes = {"epsilon": single(op.attribute("epsilon"))}
            norm = make(program, "pd_op.instance_norm", [value, scale, bias], kinds, attributes)
            program.insert(op, [norm], after=False)
            program.remove([op])
            program.replace_value(op.outputs[0], norm.outputs[0])
        reason = f"{len(found)} batch norms normalize each image by itself"
        return PassResult(program, modified=True, reason=reason)


def _fits(program: Program, norm: Operation, images: frozenset[int]) -> bool:
    kind = program.type_of(norm.inputs[0])
    return (
        norm.name == "pd_op.batch_norm_"
        and norm.attribute("data_format") == "NCHW"
        and kind is not None
        and len(kind.shape) == 4
        and norm.inputs[0] in images
        and not any(program.readers(value) for value in norm.outputs[1:])
    )
