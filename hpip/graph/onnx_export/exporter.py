# SPDX-License-Identifier: Apache-2.0
"""The ONNX graph under construction, and the registry of operator translations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hpip.errors import GraphRewriteError
from hpip.graph.constant_folding import constant
from hpip.graph.operation import NO_VALUE, Operation, TensorType
from hpip.graph.params import ParameterFile
from hpip.graph.program import Program
from hpip.types import AnyArray

ELEMENT_TYPES = {
    "bool": TensorProto.BOOL,
    "ui8": TensorProto.UINT8,
    "i8": TensorProto.INT8,
    "i16": TensorProto.INT16,
    "i32": TensorProto.INT32,
    "i64": TensorProto.INT64,
    "f16": TensorProto.FLOAT16,
    "bf16": TensorProto.BFLOAT16,
    "f32": TensorProto.FLOAT,
    "f64": TensorProto.DOUBLE,
}
# Data type attributes have the long names.
_LONG_NAMES = {
    "bool": "bool",
    "uint8": "ui8",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "float16": "f16",
    "bfloat16": "bf16",
    "float32": "f32",
    "float64": "f64",
}
_NUMPY = {"bool": np.bool_, "i32": np.int32, "i64": np.int64, "f32": np.float32, "f64": np.float64}

# ONNX name of a value, or the names of a tensor list; "" for an absent optional operand.
Names: TypeAlias = str | tuple[str, ...]
Emitter: TypeAlias = Callable[["Exporter", Operation], Sequence[Names]]

_EMITTERS: dict[str, Emitter] = {}


def emits(*operators: str) -> Callable[[Emitter], Emitter]:
    """Register a function as the translation of these operators (without "pd_op.")."""

    def register(function: Emitter) -> Emitter:
        for name in operators:
            _EMITTERS[name if "." in name else f"pd_op.{name}"] = function
        return function

    return register


def refuse(op: Operation, reason: str) -> GraphRewriteError:
    """The error for an operation with unsupported attributes or operands."""
    return GraphRewriteError("export_onnx", reason, str(op))


class Exporter:
    """Translates operations to nodes of an ONNX graph, one by one.

    The names of an operation's results are defined once it has been emitted. Regions of an `if` see
    outer names.
    """

    def __init__(self, program: Program, parameters: ParameterFile) -> None:
        self.program = program
        self.parameters = parameters
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._names: dict[int, Names] = {NO_VALUE: ""}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._count = 0

    def emit(self, op: Operation) -> None:
        """Add the nodes of one operation."""
        emitter = _EMITTERS.get(op.name)
        if emitter is None:
            raise refuse(op, f"unsupported operator {op.name}")
        names = emitter(self, op)
        # Paddle declares extra results (saved statistics, workspaces) that inference does not read.
        self._names.update(zip(op.outputs, names, strict=False))

    def bind(self, value: int, name: Names) -> None:
        """Set the name of a value."""
        self._names[value] = name

    def name(self, value: int) -> str:
        """Name of a tensor; "" for an absent optional operand."""
        found = self._names[value]
        if isinstance(found, tuple):
            raise GraphRewriteError("export_onnx", f"value {value} is a tensor list, not a tensor")
        return found

    def names(self, value: int) -> tuple[str, ...]:
        """Names of the tensors of a list."""
        found = self._names[value]
        return found if isinstance(found, tuple) else (found,)

    def type(self, value: int) -> TensorType:
        """Type of a tensor."""
        kind = self.program.type_of(value)
        if kind is None:
            raise GraphRewriteError("export_onnx", f"the type of value {value} is unknown")
        return kind

    def rank(self, value: int) -> int:
        """Number of axes of a value."""
        return len(self.type(value).shape)

    def known(self, value: int) -> AnyArray | None:
        """The value if it depends on no input and no weight, else None."""
        return None if value == NO_VALUE else constant(self.program, value)

    def integers(self, op: Operation, value: int) -> list[int]:
        """A constant operand as a list of integers."""
        found = self.known(value)
        if found is None:
            raise refuse(op, "an operand that must be constant in ONNX is computed")
        return [int(number) for number in found.reshape(-1)]

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one result and return its name."""
        (result,) = self.node_of(kind, inputs, 1, **attributes)
        return result

    def total(self, names: Sequence[str]) -> str:
        """Sum of several values by Add: engines support ONNX's Sum for floating point only."""
        return reduce(lambda left, right: self.node("Add", left, right), names)

    def node_of(
        self, kind: str, inputs: Sequence[str], results: int, **attributes: Any
    ) -> tuple[str, ...]:
        """Add a node with several results and return their names."""
        names = tuple(self.fresh() for _ in range(results))
        self.nodes.append(helper.make_node(kind, list(inputs), list(names), **attributes))
        return names

    def fresh(self) -> str:
        """An unused name."""
        self._count += 1
        return f"value/{self._count}"

    def constant(self, value: Any, dtype: str) -> str:
        """Name of a constant tensor; equal constants are stored once."""
        array: AnyArray = np.asarray(value, _NUMPY[dtype])
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant/{len(self._constants)}"
            self._constants[key] = name
            self.initializers.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def shape_constant(self, lengths: Sequence[int]) -> str:
        """Name of a constant int64 vector: a shape, axes, bounds."""
        return self.constant(np.asarray(lengths, np.int64).reshape(-1), "i64")

    def cast(self, name: str, dtype: str) -> str:
        """Cast to a type in Paddle's short form."""
        return self.node("Cast", name, to=ELEMENT_TYPES[dtype])

    def as_index(self, value: int) -> str:
        """An integer value as an int64 vector, as ONNX requires for shapes and bounds."""
        found = self.known(value)
        if found is not None:
            return self.shape_constant(found.reshape(-1).astype(np.int64).tolist())
        name = self.name(value)
        if self.type(value).dtype != "i64":
            name = self.cast(name, "i64")
        return (
            name if self.rank(value) == 1 else self.node("Reshape", name, self.shape_constant([-1]))
        )


def short_dtype(op: Operation, attribute: str = "dtype", default: str = "") -> str:
    """A data type attribute in Paddle's short form."""
    name = op.attribute(attribute)
    if name.startswith("Undefined") and default:
        return default
    if name not in _LONG_NAMES:
        raise refuse(op, f"unsupported data type {name}")
    return _LONG_NAMES[name]


def can_emit(op: Operation) -> bool:
    """Whether this operator is supported."""
    return op.name in _EMITTERS


def used_initializers(out: Exporter) -> list[TensorProto]:
    """The weights and constants that a node reads; translations may have folded others."""
    used: set[str] = set()
    pending = list(out.nodes)
    while pending:
        node = pending.pop()
        used.update(node.input)
        for attribute in node.attribute:
            pending.extend(attribute.g.node)
    return [tensor for tensor in out.initializers if tensor.name in used]
