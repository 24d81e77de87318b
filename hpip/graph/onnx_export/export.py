# SPDX-License-Identifier: Apache-2.0
"""Exports a program to ONNX; the weights stay in Paddle's parameter file as external data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from hpip.errors import GraphRewriteError
from hpip.graph.liveness import live_operations
from hpip.graph.onnx_export import (  # noqa: F401 - each registers its operators
    branching,
    convolution,
    elementwise,
    indexing,
    normalization,
    products,
    resizing,
    shapes,
    sources,
)
from hpip.graph.onnx_export.exporter import ELEMENT_TYPES, Exporter, can_emit, used_initializers
from hpip.graph.onnx_version import EXPORTER_VERSION
from hpip.graph.operation import PARAMETER, Operation, TensorType
from hpip.graph.params import ParameterFile
from hpip.graph.program import INPUT, OUTPUT, Program

# Supported by ONNX Runtime 1.18, OpenVINO 2024.4 and TensorRT 8.6.
OPSET = 17
_IR_VERSION = 8
# Declarations, which are handled separately.
_NO_CODE = frozenset({PARAMETER, INPUT, OUTPUT})


def export_onnx(program: Program, parameters: ParameterFile) -> ModelProto:
    """Export a program to ONNX.

    Inputs and outputs keep their names and order; unused inputs are kept. Weights refer to the
    parameter file as external data.

    Raises:
        GraphRewriteError: the program has unsupported operators, all of which are named, or an
            operator with unsupported attributes.
    """
    live = live_operations(program)
    operations = [op for op in program.block.operations if id(op) in live]
    _require_translations(operations)
    out = Exporter(program, parameters)
    inputs = [_declare_input(out, name, op) for name, op in program.inputs.items()]
    for op in operations:
        if op.name == PARAMETER:
            _declare_parameter(out, op)
        elif op.name not in _NO_CODE:
            out.emit(op)
    outputs = [_declare_output(out, op) for op in program.outputs]
    weights = used_initializers(out)
    graph = helper.make_graph(out.nodes, "network", inputs, outputs, weights)
    return helper.make_model(
        graph,
        producer_name="hpip",
        producer_version=str(EXPORTER_VERSION),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )


def _require_translations(operations: Sequence[Operation]) -> None:
    missing: Counter[str] = Counter()
    for op in operations:
        for inner in op.walk():
            if inner.name not in _NO_CODE and inner.name != "cf.yield" and not can_emit(inner):
                missing[inner.name.removeprefix("pd_op.")] += 1
    if missing:
        found = ", ".join(f"{name} ({count})" for name, count in sorted(missing.items()))
        raise GraphRewriteError("export_onnx", f"unsupported operators: {found}")


def _declare_input(out: Exporter, name: str, op: Operation) -> ValueInfoProto:
    out.bind(op.outputs[0], name)
    return _declare(name, out.type(op.outputs[0]))


def _declare_output(out: Exporter, op: Operation) -> ValueInfoProto:
    name = op.attribute("name")
    out.nodes.append(helper.make_node("Identity", [out.name(op.inputs[0])], [name]))
    return _declare(name, out.type(op.inputs[0]))


def _declare(name: str, kind: TensorType) -> ValueInfoProto:
    shape = [f"{name}_{axis}" if n == -1 else n for axis, n in enumerate(kind.shape)]
    return helper.make_tensor_value_info(name, ELEMENT_TYPES[kind.dtype], shape)


def _declare_parameter(out: Exporter, op: Operation) -> None:
    # Avoids clashes with inputs and outputs of the same name.
    name = f"weight/{op.parameter_name}"
    stored = out.parameters.tensors[op.parameter_name]
    tensor = TensorProto(
        name=name,
        data_type=ELEMENT_TYPES[stored.type.dtype],
        dims=stored.type.shape,
        data_location=TensorProto.EXTERNAL,
    )
    place = {
        "location": out.parameters.path.name,
        "offset": stored.offset,
        "length": stored.size_bytes,
    }
    for key, value in place.items():
        tensor.external_data.add(key=key, value=str(value))
    out.initializers.append(tensor)
    out.bind(op.outputs[0], name)
