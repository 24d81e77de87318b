# SPDX-License-Identifier: Apache-2.0
"""Batch safety: whether each image of a batch gets the result that it gets in a batch of one.

Two constructs of exported models break it: a batch norm that uses batch statistics, and a slice
that takes the first image of a batch. This module alone decides both, on plain flags and slice
bounds, so that `interface` (exported models in either format) and `compile` (rewritten programs)
agree.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpip.graph.constant_folding import constant
from hpip.graph.operation import Operation
from hpip.graph.program import Program

# Attributes of Paddle's batch norm, in the order of the arguments of `norm_uses_batch_statistics`.
NORM_FLAGS = ("use_global_stats", "trainable_statistics", "is_test")


def norm_uses_batch_statistics(
    use_global_stats: bool | None, trainable_statistics: bool | None, is_test: bool | None
) -> bool:
    """Whether a batch norm with these flags uses batch statistics instead of running statistics.

    Paddle does so at inference too when `trainable_statistics` is set: mean and variance are those
    of all images, or of all boxes, in the batch.
    """
    return not use_global_stats and (bool(trainable_statistics) or not is_test)


def slice_takes_first_image(
    shape: Sequence[int], axes: object, starts: object, ends: object, dropped_axes: object
) -> bool:
    """Whether a slice takes row 0 of a dynamic first axis (-1) and drops the axis.

    Tensors of rank 1 are exempt: they hold shapes and counts, whose first element says nothing
    about a batch.
    """
    return (
        len(shape) >= 2
        and shape[0] == -1
        and (axes, starts, ends, dropped_axes) == ([0], [0], [1], [0])
    )


def is_batch_safe(program: Program) -> bool:
    """Whether the images of a batch do not affect each other's results."""
    return not any(
        uses_batch_statistics(op) or takes_first_image(program, op) for op in program.walk()
    )


def uses_batch_statistics(op: Operation) -> bool:
    """Whether an operation is a batch norm that uses batch statistics."""
    if op.name not in ("pd_op.batch_norm_", "pd_op.batch_norm"):
        return False
    return norm_uses_batch_statistics(*(op.attribute(name) for name in NORM_FLAGS))


def takes_first_image(program: Program, op: Operation) -> bool:
    """Whether an operation is a slice that takes the first image of a batch."""
    kind = program.type_of(op.inputs[0]) if op.name == "pd_op.slice" else None
    if kind is None or len(kind.shape) < 2 or kind.shape[0] != -1:
        return False
    starts, ends = (
        None if bound is None else bound.tolist()
        for bound in (constant(program, value) for value in op.inputs[1:])
    )
    return slice_takes_first_image(
        kind.shape, op.attribute("axes"), starts, ends, op.attribute("decrease_axis")
    )
