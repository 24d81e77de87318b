# SPDX-License-Identifier: Apache-2.0
"""Liveness analysis and dead code elimination."""

from __future__ import annotations

from hpip.graph.operation import PARAMETER, Operation
from hpip.graph.program import INPUT, OUTPUT, Program

# Never removed: inputs belong to the interface, and a combined parameter file is read by position,
# so that a missing parameter would shift all later ones.
_ALWAYS_KEPT = frozenset({PARAMETER, INPUT})
_ROOTS = frozenset({OUTPUT, "builtin.shadow_output", "pd_op.print", "pd_op.assert"})


def live_operations(program: Program) -> set[int]:
    """`id` of each operation that an output depends on.

    A live loop keeps all its results, even those that nothing reads. An operation that writes to
    its first operand in place is live if that operand is.
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
    """Remove operations that no output depends on; returns their number.

    Inputs and parameters are kept, so that the interface and the parameter file remain valid.
    """
    live = live_operations(program)
    dead = [op for op in program.walk() if id(op) not in live and op.name not in _ALWAYS_KEPT]
    program.remove(dead)
    return len(dead)
