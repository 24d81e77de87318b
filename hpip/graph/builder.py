# SPDX-License-Identifier: Apache-2.0
"""Creates operations for a program, in a form that every supported format version reads."""

from __future__ import annotations

from collections.abc import Sequence

from hpip.graph.operation import Json, Operation, shorten_name
from hpip.graph.program import INPUT, OUTPUT, Program


def tensor_type(dtype: str, shape: Sequence[int]) -> Json:
    """Dense tensor type; `dtype` in Paddle's short form ("f32", "i64"), -1 for a dynamic axis."""
    return {"#": "0.t_dtensor", "D": [{"#": f"0.t_{dtype}"}, list(shape), "NCHW", [], 0]}


def string(value: str) -> Json:
    """String attribute."""
    return {"#": "0.a_str", "D": value}


def integer(value: int) -> Json:
    """int32 attribute."""
    return {"#": "0.a_i32", "D": value}


def single(value: float) -> Json:
    """float32 attribute."""
    return {"#": "0.a_f32", "D": value}


def double(value: float) -> Json:
    """float64 attribute."""
    return {"#": "0.a_f64", "D": value}


def boolean(value: bool) -> Json:
    """Boolean attribute."""
    return {"#": "0.a_bool", "D": value}


def dtype(name: str) -> Json:
    """Data type attribute, in Paddle's long form ("float32")."""
    return {"#": "1.a_dtype", "D": name}


def shape(lengths: Sequence[int]) -> Json:
    """Shape attribute."""
    return {"#": "1.a_intarray", "D": list(lengths)}


def _place() -> Json:
    # Undefined place: the device that the program runs on.
    return {"#": "1.a_place", "D": [0, 0, ""]}


def _cpu() -> Json:
    return {"#": "1.a_place", "D": [1, 0, ""]}


def _flags(value: bool, count: int) -> Json:
    return {"#": "0.a_array", "D": [boolean(value)] * count}


def make(
    program: Program,
    name: str,
    inputs: Sequence[int],
    types: Sequence[Json],
    attributes: dict[str, Json] | None = None,
) -> Operation:
    """An operation with new result values, not yet in any block."""
    raw: Json = {
        "#": shorten_name(name),
        "A": [{"AT": typed, "N": key} for key, typed in (attributes or {}).items()],
        "I": [{"%": value} for value in inputs],
        "O": [{"%": program.new_value(), "TT": typed} for typed in types],
        "OA": [{"AT": _flags(True, len(types)), "N": "stop_gradient"}],
    }
    return Operation(raw)


def integers(values: Sequence[int], *, bits: int = 64) -> Json:
    """Integer list attribute."""
    return {"#": "0.a_array", "D": [{"#": f"0.a_i{bits}", "D": value} for value in values]}


def make_integers(program: Program, values: Sequence[int]) -> Operation:
    """A constant int64 vector."""
    attributes = {"value": integers(values), "dtype": dtype("int64"), "place": _cpu()}
    kinds = [tensor_type("i64", [len(values)])]
    return make(program, "pd_op.full_int_array", [], kinds, attributes)


def full(program: Program, value: float, short_dtype: str, long_dtype: str) -> Operation:
    """A constant vector with one element."""
    attributes = {
        "shape": shape([1]),
        "value": double(value),
        "dtype": dtype(long_dtype),
        "place": _cpu(),
    }
    return make(program, "pd_op.full", [], [tensor_type(short_dtype, [1])], attributes)


def combine(program: Program, makers: Sequence[Operation]) -> Operation:
    """The first results of several operations as a tensor list, the operand of concat."""
    kinds = [op.output_type_json(0) for op in makers]
    listed = {"#": "0.t_vec", "D": kinds}
    return make(program, "builtin.combine", [op.outputs[0] for op in makers], [listed])


def make_output(program: Program, name: str, value: int, column: int) -> Operation:
    """A fetch operation that returns `value` as output number `column`."""
    maker = program.maker(value)
    if maker is None:
        raise ValueError(f"value {value} is not the result of an operation and cannot be an output")
    kind = maker.output_type_json(maker.outputs.index(value))
    op = make(program, OUTPUT, [value], [kind], {"name": string(name), "col": integer(column)})
    op.raw["OA"].insert(0, {"AT": _flags(True, 1), "N": "persistable"})
    return op


def make_input(
    program: Program, name: str, short_dtype: str, long_dtype: str, lengths: Sequence[int]
) -> Operation:
    """An operation that declares an input of the program."""
    return make(
        program,
        INPUT,
        [],
        [tensor_type(short_dtype, lengths)],
        {
            "name": string(name),
            "shape": shape(lengths),
            "dtype": dtype(long_dtype),
            "place": _place(),
        },
    )


def replace_outputs(program: Program, outputs: dict[str, int]) -> None:
    """Replace the outputs of the program by the named values, in order."""
    program.remove(program.outputs)
    program.append(
        [
            make_output(program, name, value, column)
            for column, (name, value) in enumerate(outputs.items())
        ]
    )
