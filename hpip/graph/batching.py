# SPDX-License-Identifier: Apache-2.0
"""How many images a program may take at once without one changing the answer for another."""

from __future__ import annotations

from hpip.graph.constant_folding import constant
from hpip.graph.operation import Operation
from hpip.graph.program import Program


def takes_batches(program: Program) -> bool:
    """Whether each image of a batch comes out as it does alone."""
    return not any(
        normalizes_by_input(op) or takes_first_image(program, op) for op in program.walk()
    )


def normalizes_by_input(op: Operation) -> bool:
    """Whether an operation is a batch norm that takes its statistics from what it is fed.

    Paddle does so in inference too when `trainable_statistics` is set: mean and variance are those
    of all images, or of all boxes, that are in the batch.
    """
    if op.name not in ("pd_op.batch_norm_", "pd_op.batch_norm"):
        return False
    return not op.attribute("use_global_stats") and (
        op.attribute("trainable_statistics") or not op.attribute("is_test")
    )


def takes_first_image(program: Program, op: Operation) -> bool:
    """Whether a slice picks the first row of an open first axis and drops the axis.

    Rank 1 is left out: those are shapes and counts, whose first number says nothing about a batch.
    """
    kind = program.type_of(op.inputs[0]) if op.name == "pd_op.slice" else None
    if kind is None or len(kind.shape) < 2 or kind.shape[0] != -1:
        return False
    bounds = [constant(program, value) for value in op.inputs[1:]]
    if any(bound is None for bound in bounds):
        return False
    found = [bound.tolist() for bound in bounds if bound is not None]
    return (
        op.attribute("axes") == [0] and op.attribute("decrease_axis") == [0] and found == [[0], [1]]
    )
