# SPDX-License-Identifier: Apache-2.0
"""Control flow: `if`."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import GraphProto, helper

from hpip.graph.onnx_export.exporter import ELEMENT_TYPES, Exporter, Names, emits, refuse
from hpip.graph.operation import Operation, Region


@emits("if")
def _if(out: Exporter, op: Operation) -> Sequence[Names]:
    condition = out.name(op.inputs[0])
    if out.rank(op.inputs[0]):
        condition = out.node("Squeeze", condition)
    then, other = (_branch(out, op, region) for region in op.regions)
    results = [out.fresh() for _ in op.outputs]
    node = helper.make_node("If", [condition], results, then_branch=then, else_branch=other)
    out.nodes.append(node)
    return results


def _branch(out: Exporter, op: Operation, region: Region) -> GraphProto:
    """A region as a subgraph, which may read outer values."""
    outside, out.nodes = out.nodes, []
    try:
        (block,) = region.blocks
        for inner in block.operations[:-1]:
            out.emit(inner)
        results = []
        for value, result in zip(block.operations[-1].inputs, op.outputs, strict=True):
            if out.program.type_of(value) is None:
                raise refuse(op, "a branch returns a tensor list")
            # A subgraph may return results of its own nodes only.
            name = out.node("Identity", out.name(value))
            kind = out.type(result).dtype
            results.append(helper.make_tensor_value_info(name, ELEMENT_TYPES[kind], None))
        return helper.make_graph(out.nodes, f"branch_{out.fresh()}", [], results)
    finally:
        out.nodes = outside
