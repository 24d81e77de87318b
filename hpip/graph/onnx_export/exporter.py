# SPDX-License-Identifier: Apache-2.0
"""The growing ONNX graph, and the table of functions that translate one operator each."""

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
# Attributes carry the long names.
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

# ONNX name of a value, or one for each member of a list of tensors; "" stands for no value.
Names: TypeAlias = str | tuple[str, ...]
Emitter: TypeAlias = Callable[["Exporter", Operation], Sequence[Names]]

_EMITTERS: dict[str, Emitter] = {}


def emits(*operators: str) -> Callable[[Emitter], Emitter]:
    """Register a function as the translation of these operators ("pd_op." left out)."""

    def register(function: Emitter) -> Emitter:
        for name in operators:
            _EMITTERS[name if "." in name else f"pd_op.{name}"] = function
        return function

    return register


def refuse(op: Operation, reason: str) -> GraphRewriteError:
    """The error for an operation that is known, but not with these attributes or operands."""
    return GraphRewriteError("export_onnx", reason, str(op))


class Exporter:
    """Translates operations one by one into nodes of an ONNX graph.

    The names of an operation's results are known once it has been emitted; regions of an `if` see
    the names made outside of it.
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
        """Add what one operation does."""
        emitter = _EMITTERS.get(op.name)
        if emitter is None:
            raise refuse(op, f"there is no translation of {op.name}")
        names = emitter(self, op)
        # Paddle declares by-products (saved statistics, workspaces) that no inference reads.
        self._names.update(zip(op.outputs, names, strict=False))

    def bind(self, value: int, name: Names) -> None:
        """Say by which name a value goes."""
        self._names[value] = name

    def name(self, value: int) -> str:
        """Name of a value that is one tensor; "" for an operand that is absent."""
        found = self._names[value]
        if isinstance(found, tuple):
            raise GraphRewriteError("export_onnx", f"value {value} is a list, not a tensor")
        return found

    def names(self, value: int) -> tuple[str, ...]:
        """Names of a list's members."""
        found = self._names[value]
        return found if isinstance(found, tuple) else (found,)

    def type(self, value: int) -> TensorType:
        """Type of a value that is one tensor."""
        kind = self.program.type_of(value)
        if kind is None:
            raise GraphRewriteError("export_onnx", f"the type of value {value} is not known")
        return kind

    def rank(self, value: int) -> int:
        """Number of axes of a value."""
        return len(self.type(value).shape)

    def known(self, value: int) -> AnyArray | None:
        """The value where it depends on neither input nor weight."""
        return None if value == NO_VALUE else constant(self.program, value)

    def integers(self, op: Operation, value: int) -> list[int]:
        """A constant operand as a list of integers."""
        found = self.known(value)
        if found is None:
            raise refuse(op, "an operand that ONNX wants as a constant is computed")
        return [int(number) for number in found.reshape(-1)]

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one result and return its name."""
        (result,) = self.node_of(kind, inputs, 1, **attributes)
        return result

    def total(self, names: Sequence[str]) -> str:
        """Add values up; not by ONNX's Sum, which engines have for floating point only."""
        return reduce(lambda left, right: self.node("Add", left, right), names)

    def node_of(
        self, kind: str, inputs: Sequence[str], results: int, **attributes: Any
    ) -> tuple[str, ...]:
        """Add a node with several results and return their names."""
        names = tuple(self.fresh() for _ in range(results))
        self.nodes.append(helper.make_node(kind, list(inputs), list(names), **attributes))
        return names

    def fresh(self) -> str:
        """A name that nothing has yet."""
        self._count += 1
        return f"value/{self._count}"

    def constant(self, value: Any, dtype: str) -> str:
        """Name of a constant tensor; equal ones are stored once."""
        array: AnyArray = np.asarray(value, _NUMPY[dtype])
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant/{len(self._constants)}"
            self._constants[key] = name
            self.initializers.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def shape_constant(self, lengths: Sequence[int]) -> str:
        """Name of a constant vector of 64-bit integers: a shape, axes, bounds."""
        return self.constant(np.asarray(lengths, np.int64).reshape(-1), "i64")

    def cast(self, name: str, dtype: str) -> str:
        """The value in another type, in Paddle's short form."""
        return self.node("Cast", name, to=ELEMENT_TYPES[dtype])

    def as_index(self, value: int) -> str:
        """A value of integers as the 64-bit ones that ONNX wants for shapes and bounds."""
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
    """Type that an attribute names, in Paddle's short form."""
    name = op.attribute(attribute)
    if name.startswith("Undefined") and default:
        return default
    if name not in _LONG_NAMES:
        raise refuse(op, f"ONNX has no type {name}")
    return _LONG_NAMES[name]


def can_emit(op: Operation) -> bool:
    """Whether there is a translation for this operator."""
    return op.name in _EMITTERS


def used_initializers(out: Exporter) -> list[TensorProto]:
    """The weights and constants that a node reads; emitters also look at some that they fold."""
    used: set[str] = set()
    pending = list(out.nodes)
    while pending:
        node = pending.pop()
        used.update(node.input)
        for attribute in node.attribute:
            pending.extend(attribute.g.node)
    return [tensor for tensor in out.initializers if tensor.name in used]
