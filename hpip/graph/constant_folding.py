# SPDX-License-Identifier: Apache-2.0
"""Constant folding: evaluates constants, and sizes that are computed from the inputs.

Passes use it to recognise an expression by its value, independently of its operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hpip.graph.operation import NO_VALUE, Operation
from hpip.graph.program import Program
from hpip.types import AnyArray

_NUMPY = {
    "bool": np.bool_,
    "int32": np.int32,
    "int64": np.int64,
    "float32": np.float32,
    "float64": np.float64,
}

_MAX_OPERATIONS = 200


class NotEvaluableError(Exception):
    """The value depends on something that is known at run time only."""


def constant(program: Program, value: int) -> AnyArray | None:
    """The value as an array if it depends on no input and no parameter, else None."""
    try:
        return evaluate(program, value, {})
    except NotEvaluableError:
        return None


def evaluate(program: Program, value: int, known: Mapping[int, AnyArray]) -> AnyArray:
    """Compute a value from constants and `known` values, in float32 like Paddle.

    Raises:
        NotEvaluableError: it depends on an unknown value or on an unsupported operator.
    """
    computed: dict[int, Any] = dict(known)
    budget = _MAX_OPERATIONS

    def compute(wanted: int) -> Any:
        """The value `wanted`, after its operands; each value is computed once."""
        nonlocal budget
        if wanted in computed:
            return computed[wanted]
        op = program.maker(wanted)
        if op is None or op.name not in _RULES:
            raise NotEvaluableError(f"value {wanted} is made by {op}")
        budget -= 1
        if budget < 0:
            raise NotEvaluableError("the expression is too long")
        operands = [None if v == NO_VALUE else compute(v) for v in op.inputs]
        results = _RULES[op.name](op, operands)
        computed.update(zip(op.outputs, results, strict=True))
        return computed[wanted]

    result: AnyArray = np.asarray(compute(value))
    return result


def _elementwise(function: Callable[..., Any]) -> Callable[[Operation, list[Any]], list[Any]]:
    return lambda op, operands: [function(*operands)]


def _full(op: Operation, operands: list[Any]) -> list[Any]:
    return [np.full(op.attribute("shape"), op.attribute("value"), _dtype(op))]


def _full_int_array(op: Operation, operands: list[Any]) -> list[Any]:
    return [np.array(op.attribute("value"), _dtype(op))]


def _assign_value(op: Operation, operands: list[Any]) -> list[Any]:
    return [np.array(op.attribute("values"), _dtype(op)).reshape(op.attribute("shape"))]


def _dtype(op: Operation) -> type[np.generic]:
    name = op.attribute("dtype")
    if name not in _NUMPY:
        raise NotEvaluableError(f"{op} is of type {name}")
    return _NUMPY[name]


def _scale(op: Operation, operands: list[Any]) -> list[Any]:
    value, factor = operands
    bias = op.attribute("bias")
    kind = value.dtype
    if op.attribute("bias_after_scale"):
        return [(value * kind.type(factor.item()) + kind.type(bias)).astype(kind)]
    return [((value + kind.type(bias)) * kind.type(factor.item())).astype(kind)]


def _slice(op: Operation, operands: list[Any]) -> list[Any]:
    value, starts, ends = operands
    index: list[slice] = [slice(None)] * value.ndim
    for axis, start, end in zip(op.attribute("axes"), starts, ends, strict=True):
        index[axis] = slice(int(start), int(end))
    return [value[tuple(index)].squeeze(tuple(op.attribute("decrease_axis")))]


def _divide(left: AnyArray, right: AnyArray) -> AnyArray:
    if left.dtype.kind != "f":
        raise NotEvaluableError("integer division")
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient: AnyArray = left / right
    return quotient


_RULES: dict[str, Callable[[Operation, list[Any]], list[Any]]] = {
    "pd_op.full": _full,
    "pd_op.full_int_array": _full_int_array,
    "pd_op.assign_value_": _assign_value,
    "pd_op.assign_value": _assign_value,
    "pd_op.scale": _scale,
    "pd_op.slice": _slice,
    "pd_op.add": _elementwise(np.add),
    "pd_op.subtract": _elementwise(np.subtract),
    "pd_op.multiply": _elementwise(np.multiply),
    "pd_op.divide": _elementwise(_divide),
    "pd_op.floor": _elementwise(np.floor),
    # Paddle rounds ties away from zero, NumPy to even.
    "pd_op.round": _elementwise(lambda x: np.trunc(x + np.copysign(x.dtype.type(0.5), x))),
    "pd_op.cast": lambda op, operands: [operands[0].astype(_dtype(op))],
    "pd_op.flip": lambda op, operands: [np.flip(operands[0], op.attribute("axis"))],
    "pd_op.tile": lambda op, operands: [np.tile(operands[0], operands[1])],
    "pd_op.reshape": lambda op, operands: [operands[0].reshape(operands[1])],
    "pd_op.unsqueeze": lambda op, operands: [np.expand_dims(operands[0], tuple(operands[1]))],
    "pd_op.squeeze": lambda op, operands: [np.squeeze(operands[0], tuple(operands[1]))],
    "pd_op.stack": lambda op, operands: [np.stack(operands[0], op.attribute("axis"))],
    "pd_op.concat": lambda op, operands: [np.concatenate(operands[0], int(operands[1].item()))],
    "pd_op.split_with_num": lambda op, operands: [
        np.split(operands[0], op.attribute("num"), int(operands[1].item()))
    ],
    "builtin.combine": lambda op, operands: [list(operands)],
    "builtin.split": lambda op, operands: list(operands[0]),
    "builtin.slice": lambda op, operands: [operands[0][op.attribute("index")]],
}
