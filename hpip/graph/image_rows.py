# SPDX-License-Identifier: Apache-2.0
"""Which values of a program hold one row for each image, so that images do not touch each other."""

from __future__ import annotations

from math import prod

from hpip.graph.evaluate import constant
from hpip.graph.operation import NO_VALUE, Operation
from hpip.graph.program import INPUT, Program

_BY_NUMBER = (
    *("abs", "add", "cast", "clip", "divide", "elementwise_pow", "erf", "exp", "floor", "gelu"),
    *("hardsigmoid", "hardswish", "leaky_relu", "log", "maximum", "minimum", "mish", "multiply"),
    *("pow", "relu", "relu6", "round", "scale", "sigmoid", "silu", "sqrt", "square", "subtract"),
    *("swish", "tanh", "where"),
)
_BY_IMAGE = (
    *("batch_norm_", "bilinear_interp", "conv2d", "conv2d_transpose", "depthwise_conv2d"),
    *("group_norm", "instance_norm", "nearest_interp", "pool2d"),
)


def image_rows(program: Program) -> frozenset[int]:
    """Values of the main block whose row i depends on row i of the inputs and on no other.

    Inputs of any number of rows are taken to be images. A batch norm that takes its statistics from
    its input counts as if it were an instance norm: the question is what its rows stand for.
    """
    shared: set[int] = {NO_VALUE}
    rows: set[int] = set()
    for op in program.block.operations:
        if op.name == INPUT:
            kind = op.output_types[0]
            (rows if kind is not None and kind.shape[:1] == (-1,) else shared).update(op.outputs)
        elif op.regions:
            continue
        elif all(value in shared for value in op.inputs):
            shared.update(op.outputs)
        elif all(v in shared or v in rows for v in op.inputs) and _keeps_rows(program, op, rows):
            rows.update(op.outputs)
    return frozenset(rows)


def _keeps_rows(program: Program, op: Operation, rows: set[int]) -> bool:
    name = op.name.removeprefix("pd_op.")
    if name in _BY_NUMBER:
        return all(
            _rank(program, v) == _rank(program, op.outputs[0]) for v in op.inputs if v in rows
        )
    if name in _BY_IMAGE:
        return op.inputs[0] in rows
    if name in ("builtin.combine", "builtin.split"):
        return True
    if name in ("reshape", "flatten", "squeeze", "unsqueeze"):
        return _same_rows(program, op)
    if name == "transpose":
        return bool(op.attribute("perm")[0] == 0)
    if name == "concat":
        axis = constant(program, op.inputs[1])
        return axis is not None and axis.item() > 0
    if name == "slice":
        return op.inputs[0] in rows and 0 not in op.attribute("axes")
    if name == "softmax":
        return int(op.attribute("axis")) % _rank(program, op.inputs[0]) > 0
    if name in ("max", "mean", "min", "sum"):
        axes = constant(program, op.inputs[1])
        rank = _rank(program, op.inputs[0])
        return axes is not None and axes.size > 0 and 0 not in axes % rank
    if name == "layer_norm":
        return bool(op.attribute("begin_norm_axis") > 0)
    if name == "matmul":
        return op.inputs[0] in rows and _rank(program, op.inputs[0]) > 2
    return False


def _rank(program: Program, value: int) -> int:
    kind = program.type_of(value)
    return -1 if kind is None else len(kind.shape)


def _same_rows(program: Program, op: Operation) -> bool:
    """Whether a change of shape leaves the numbers of each row together."""
    before, after = program.type_of(op.inputs[0]), program.type_of(op.outputs[0])
    if before is None or after is None:
        return False
    tails = before.shape[1:], after.shape[1:]
    heads = before.shape[:1], after.shape[:1]
    return (
        heads == ((-1,), (-1,))
        and -1 not in (*tails[0], *tails[1])
        and prod(tails[0]) == prod(tails[1])
    )
