# SPDX-License-Identifier: Apache-2.0
"""Statistics of a program: operators, parameters, multiply-adds, size of the outputs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hpip.graph.constant_folding import constant
from hpip.graph.operation import PARAMETER, Operation, TensorType
from hpip.graph.program import Program
from hpip.graph.sizes import infer_sizes, known

_ITEM_BYTES = {"bool": 1, "ui8": 1, "i8": 1, "i16": 2, "f16": 2, "bf16": 2, "i64": 8, "f64": 8}


@dataclass(frozen=True)
class Work:
    """Multiply-adds (MACs) of convolutions and matrix products for one image.

    Attributes:
        macs: MACs of the operators with known sizes.
        unknown: number of such operators whose sizes are known at run time only.
    """

    macs: int
    unknown: int


def operator_counts(program: Program) -> Counter[str]:
    """Number of occurrences of each operator, including those in `if` and `while`."""
    names = (op.name.removeprefix("pd_op.") for op in program.walk() if op.name != PARAMETER)
    return Counter(names)


def parameter_count(program: Program) -> int:
    """Number of parameters (elements of the weights)."""
    kinds = (op.output_types[0] for op in program.parameters.values())
    return sum(math.prod(kind.shape) for kind in kinds if kind is not None)


def work(program: Program, image_hw: tuple[int, int]) -> Work:
    """Count the multiply-adds for one image whose network input has this size.

    For two-stage models, with the maximum number of regions and boxes.
    """
    macs = unknown = 0
    sizes = infer_sizes(program, image_hw)
    for op in program.walk():
        if op.name not in _COUNTED:
            continue
        shapes = [known(sizes, value) for value in (*op.inputs[:2], op.outputs[0])]
        left, right, result = shapes
        if left is None or right is None or result is None:
            unknown += 1
        elif op.name == "pd_op.conv2d_transpose":
            macs += math.prod(left) * math.prod(right[1:])
        else:
            macs += math.prod(result) * _length_of_sum(op, left, right)
    return Work(macs, unknown)


_COUNTED = {
    "pd_op.conv2d",
    "pd_op.conv2d_transpose",
    "pd_op.depthwise_conv2d",
    "pd_op.matmul",
    "pd_op.bmm",
}


def _length_of_sum(op: Operation, left: Sequence[int], right: Sequence[int]) -> int:
    """Number of multiply-adds per element of the result."""
    if op.name.endswith("conv2d"):
        return math.prod(right[1:])
    transposed = op.has_attribute("transpose_x") and op.attribute("transpose_x")
    return left[-2] if transposed else left[-1]


def most_rows(program: Program) -> int:
    """Maximum number of instances per image; 100, the usual limit, if the program has none."""
    for op in program.walk():
        if op.name == "pd_op.multiclass_nms3":
            return int(op.attribute("keep_top_k"))
    limits = [constant(program, op.inputs[1]) for op in program.walk() if op.name == "pd_op.topk"]
    numbers = [int(limit.item()) for limit in limits if limit is not None and limit.size == 1]
    return min(numbers, default=100)


def returned_bytes(program: Program, image_hw: tuple[int, int]) -> int:
    """Maximum size of the outputs for one image of this size, in bytes.

    Mask outputs with dynamic height and width are counted at the image's size.
    """
    rows = most_rows(program)
    total = 0
    for output in program.outputs:
        kind = _most_exact_type(program, output.inputs[0])
        if kind is None:
            continue
        shape: tuple[int, ...]
        if len(kind.shape) == 3 and kind.shape[1:] == (-1, -1):
            shape = (rows, *image_hw)
        elif len(kind.shape) == 4 or kind.shape in ((), (1,)):
            shape = tuple(abs(length) for length in kind.shape)
        else:
            shape = tuple(rows if length == -1 else length for length in kind.shape)
        total += math.prod(shape) * _ITEM_BYTES.get(kind.dtype, 4)
    return total


def _most_exact_type(program: Program, value: int) -> TensorType | None:
    """The type of a value; for an `if`, that of the branch with the more specific type."""
    kind, op = program.type_of(value), program.maker(value)
    if op is None or op.name != "pd_op.if" or kind is None:
        return kind
    position = op.outputs.index(value)
    for region in op.regions:
        inner = program.type_of(region.blocks[0].operations[-1].inputs[position])
        if inner is not None and inner.shape[:1] == (-1,):
            return inner
    return kind
