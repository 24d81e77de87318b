# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import ClassVar

from hpip.errors import GraphRewriteError
from hpip.graph.builder import dtype, make, make_input, tensor_type
from hpip.graph.match import constant_number, made_by
from hpip.graph.operation import Operation
from hpip.graph.passes.base import NoMatchError, Pass, PassResult
from hpip.graph.program import Program

SCORE_THRESHOLD = "score_threshold"


class AddScoreThresholdPass(Pass):
    """Add the user's score threshold as an input, so that dropped instances are not computed.

    Scores below the threshold are set to 0 before NMS, which ignores scores of 0. A suppressed or
    decayed score depends on higher scores only, and limits such as keep_top_k select the highest
    scores, so detections at or above the threshold do not change.

    Cases:
        1. `multiclass_nms3` with a score threshold of at least 0: its scores are masked.
        2. Matrix NMS from basic operators: candidates are `nonzero(where(scores > c, scores, 0))`
           with c >= 0, and later factors (mask quality, decay) are at most 1: the scores are masked
           before `where`.
        3. Adaptive NMS (nms_eta < 1), or a negative threshold: unchanged.
        4. The input exists already, or there is no NMS: unchanged.
    """

    version: ClassVar[int] = 3

    input_name: ClassVar[str] = SCORE_THRESHOLD

    def _apply(self, program: Program) -> PassResult:
        if SCORE_THRESHOLD in program.inputs:
            raise NoMatchError("the score threshold is an input already")
        readers = _readers_of_nms_scores(program) or _readers_of_matrix_nms_scores(program)
        (scores,) = {op.inputs[index] for op, index in readers}
        kind = program.type_of(scores)
        maker = program.maker(scores)
        if (
            kind is None
            or kind.dtype != "f32"
            or maker is None
            or maker.parent is not program.block
        ):
            raise NoMatchError("the scores are not float32 values of the main block")
        threshold = make_input(program, SCORE_THRESHOLD, "f32", "float32", [1])
        program.insert(list(program.inputs.values())[-1], [threshold], after=True)
        above = make(
            program,
            "pd_op.greater_equal",
            [scores, threshold.outputs[0]],
            [tensor_type("bool", kind.shape)],
        )
        factor = make(
            program,
            "pd_op.cast",
            above.outputs,
            [tensor_type("f32", kind.shape)],
            {"dtype": dtype("float32")},
        )
        masked = make(
            program,
            "pd_op.multiply",
            [scores, factor.outputs[0]],
            [tensor_type("f32", kind.shape)],
        )
        program.insert(maker, [above, factor, masked], after=True)
        for op, index in readers:
            op.set_input(index, masked.outputs[0])
        program.touch()
        return PassResult(program, modified=True, reason=f"scores masked before {readers[0][0]}")

    def _ensures(self, program: Program) -> None:
        if not program.readers(program.inputs[SCORE_THRESHOLD].outputs[0]):
            raise GraphRewriteError(self.name, "nothing reads the new input")


def _readers_of_nms_scores(program: Program) -> list[tuple[Operation, int]]:
    """The operand of a `multiclass_nms3` with its scores; empty without this operator."""
    found = [op for op in program.walk() if op.name == "pd_op.multiclass_nms3"]
    if not found:
        return []
    if len(found) > 1:
        raise NoMatchError(f"expected one multiclass_nms3, found {len(found)}")
    nms = found[0]
    if nms.attribute("score_threshold") < 0 or nms.attribute("nms_eta") < 1:
        raise NoMatchError(f"{nms} does not ignore scores of 0, or is adaptive")
    return [(nms, 1)]


def _readers_of_matrix_nms_scores(program: Program) -> list[tuple[Operation, int]]:
    for op in program.walk():
        if op.name != "pd_op.nonzero":
            continue
        try:
            chosen = made_by(program, op.inputs[0], "where")
            above = made_by(program, chosen.inputs[0], "greater_than")
            if (
                constant_number(program, above.inputs[1]) >= 0
                and above.inputs[0] == chosen.inputs[1]
                and _only_falls(program, chosen.inputs[1])
            ):
                return [(above, 0), (chosen, 1)]
        except NoMatchError:
            continue
    raise NoMatchError("the program has no NMS whose scores can be masked")


def _only_falls(program: Program, scores: int) -> bool:
    """Whether final scores are these times decay and mask quality, both at most 1."""
    for output in program.outputs:
        factors = []
        value = output.inputs[0]
        while value != scores and (op := program.maker(value)) is not None:
            if op.name == "pd_op.multiply":
                factors.append(op.inputs[1])
            elif op.name == "builtin.combine":
                # The scores, with an empty candidate appended.
                value = op.inputs[0]
                continue
            elif op.name not in ("pd_op.gather", "pd_op.reshape", "pd_op.concat"):
                break
            value = op.inputs[0]
        if value == scores and len(factors) == 2:
            return _is_decay(program, factors[0]) and _is_mean(program, factors[1])
    return False


def _is_decay(program: Program, value: int) -> bool:
    """Match min(exp(-iou^2) / exp(-own^2)), at most 1 due to the row of the best mask."""
    quotient = made_by(program, made_by(program, value, "min").inputs[0], "divide")
    return all(made_by(program, operand, "exp") is not None for operand in quotient.inputs)


def _is_mean(program: Program, value: int) -> bool:
    """Match the mean of sigmoids over foreground pixels: sum(sigmoid * mask) / sum(mask)."""
    quotient = made_by(program, value, "divide")
    return made_by(program, quotient.inputs[0], "sum") is not None
