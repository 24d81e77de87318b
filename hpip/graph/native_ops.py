# SPDX-License-Identifier: Apache-2.0
"""Placeholder operations for native steps, in a program that is about to be split.

They exist in memory only: `split` turns each into a `NativeStep`, and no engine sees them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpip.graph.builder import make, tensor_type
from hpip.graph.operation import Operation
from hpip.graph.program import Program

_PREFIX = "hpip."


def is_native(op: Operation) -> bool:
    """Whether an operation is a placeholder of a native step."""
    return op.name.startswith(_PREFIX)


def native_kind(op: Operation) -> str:
    """`NativeStep.kind` of a placeholder."""
    return op.name.removeprefix(_PREFIX)


def native_attributes(op: Operation) -> dict[str, Any]:
    """`NativeStep.attributes` of a placeholder."""
    return {attribute["N"]: attribute["AT"]["D"] for attribute in op.raw["A"]}


def make_native(
    program: Program,
    kind: str,
    inputs: Sequence[int],
    outputs: Sequence[tuple[str, Sequence[int]]],
    attributes: Mapping[str, Any],
) -> Operation:
    """A placeholder operation, not yet in any block.

    Args:
        program: the program that it is for.
        kind: see `NativeStep`.
        inputs: operand values.
        outputs: Paddle's short type name and shape of each result.
        attributes: JSON values.
    """
    return make(
        program,
        _PREFIX + kind,
        inputs,
        [tensor_type(dtype, shape) for dtype, shape in outputs],
        {name: {"#": "hpip.a_json", "D": value} for name, value in attributes.items()},
    )
