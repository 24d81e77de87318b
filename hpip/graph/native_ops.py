# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for work that hpip does itself, in a program that is about to be split.

They live in memory only: `split` turns each into a `NativeStep`. No engine ever sees one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpip.graph.builder import make, tensor_type
from hpip.graph.operation import Operation
from hpip.graph.program import Program

_PREFIX = "hpip."


def is_native(op: Operation) -> bool:
    """Whether an operation is one of these stand-ins."""
    return op.name.startswith(_PREFIX)


def native_kind(op: Operation) -> str:
    """The `NativeStep.kind` that it stands for."""
    return op.name.removeprefix(_PREFIX)


def native_attributes(op: Operation) -> dict[str, Any]:
    """The `NativeStep.attributes`."""
    return {attribute["N"]: attribute["AT"]["D"] for attribute in op.raw["A"]}


def make_native(
    program: Program,
    kind: str,
    inputs: Sequence[int],
    outputs: Sequence[tuple[str, Sequence[int]]],
    attributes: Mapping[str, Any],
) -> Operation:
    """A stand-in, not yet in any block.

    Args:
        program: where it will go.
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
