# SPDX-License-Identifier: Apache-2.0
"""Which operations contribute to what a program returns, and removal of the others."""

from __future__ import annotations

from hpip.graph.operation import PARAMETER, Operation
from hpip.graph.program import INPUT, OUTPUT, Program

# Kept although nothing reads them: what the caller feeds stays part of the interface, and a
# combined parameter file is read by position, so that a missing weight would shift all later ones.
_ALWAYS_KEPT = frozenset({PARAMETER, INPUT})
_ROOTS = frozenset({OUTPUT, "builtin.shadow_output", "pd_op.print", "pd_op.assert"})


def live_operations(program: Program) -> set[int]:
    """`id` of each operation that an output depends on.

    A loop that is needed keeps its whole interface: results of it that nobody reads stay.
    An operation that writes into its first operand is needed when that operand is.
    """
    writers: dict[int, list[Operation]] = {}
    for op in program.walk():
        if op.writes_in_place and op.inputs:
            writers.setdefault(op.inputs[0], []).append(op)
    pending = [op for op in program.walk() if op.name in _ROOTS]
    live: set[int] = set()
    while pending:
        op = pending.pop()
        if id(op) in live:
            continue
        live.add(id(op))
        if op.parent is not None and op.parent.owner is not None:
            pending.append(op.parent.owner)
        for region in op.regions:
            pending.extend(block.operations[-1] for block in region.blocks if block.operations)
        for value in op.inputs:
            pending.extend(writers.get(value, ()))
            if (maker := program.maker(value)) is not None:
                pending.append(maker)
    return live


def remove_dead_code(program: Program) -> int:
    """Remove operations that no output depends on; returns how many.

    Inputs and parameters stay, so that callers and the parameter file need no change.
    """
    live = live_operations(program)
    dead = [op for op in program.walk() if id(op) not in live and op.name not in _ALWAYS_KEPT]
    program.remove(dead)
    return len(dead)
