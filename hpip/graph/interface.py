# SPDX-License-Identifier: Apache-2.0
"""What goes into and comes out of a program file, read without Paddle.

Paddle has two formats: PIR in JSON (`inference.json`, since 3.0) and the older ProgramDesc in
protobuf (`inference.pdmodel`). Only the interface is read here; `hpip.graph` reads whole programs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from hpip.errors import ModelFormatError
from hpip.graph.operation import TensorType

JsonObject: TypeAlias = dict[str, Any]
# Field number -> values: an int for a varint, a memoryview for bytes and nested messages.
Message: TypeAlias = dict[int, list[Any]]

_PIR_DTYPES = {
    "t_bool": "bool",
    "t_i8": "int8",
    "t_ui8": "uint8",
    "t_i16": "int16",
    "t_i32": "int32",
    "t_i64": "int64",
    "t_f16": "float16",
    "t_bf16": "bfloat16",
    "t_f32": "float32",
    "t_f64": "float64",
}
# framework.proto, VarType.Type
_PROTO_DTYPES = {
    0: "bool",
    1: "int16",
    2: "int32",
    3: "int64",
    4: "float16",
    5: "float32",
    6: "float64",
    20: "uint8",
    21: "int8",
    22: "bfloat16",
}


@dataclass(frozen=True)
class ProgramTensor:
    """An input or output of a program.

    Attributes:
        index: position among the program's inputs or outputs.
        name: what the engine calls it.
        dtype: NumPy's name of the element type.
        dims: one number per axis, -1 where the export left the size open.
    """

    index: int
    name: str
    dtype: str
    dims: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}{list(self.dims)}"


@dataclass(frozen=True)
class ProgramInterface:
    """Inputs and outputs of a program, in its order.

    Attributes:
        inputs: what must be fed.
        outputs: what can be fetched.
        normalizes_by_input: a batch norm takes mean and variance from what it is fed, so that the
            images of a batch change each other's answers.
        parameters: types of the weights, in no order; None where the format does not tell them.
        reads_first_image_only: somewhere the program takes row 0 of a batch and drops the rest (the
            size of the first image, its features), so that only batches of one come out right.
        loops: the program has a `while`. Exported two-stage models loop over the images of a batch
            and fail where these have different numbers of boxes.
    """

    inputs: tuple[ProgramTensor, ...]
    outputs: tuple[ProgramTensor, ...]
    reads_first_image_only: bool
    normalizes_by_input: bool
    loops: bool
    parameters: tuple[TensorType, ...] | None = None


def read_interface(program_file: Path) -> ProgramInterface:
    """Read the interface of an `inference.json` or `inference.pdmodel`.

    Raises:
        ModelFormatError: the file is not there, truncated, or not a program that Paddle exported.
    """
    readers: Mapping[str, Callable[[bytes], ProgramInterface]] = {
        ".json": _read_pir,
        ".pdmodel": _read_program_desc,
    }
    try:
        reader = readers[program_file.suffix]
        interface = reader(program_file.read_bytes())
    except OSError as error:
        raise ModelFormatError(f"cannot read the program {program_file}: {error}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFormatError(
            f"{program_file} is damaged or not an exported Paddle program: expected "
            f"{' or '.join(readers)} as Paddle writes it, got {type(error).__name__}: "
            f"{str(error)[:500]}. "
            "Copy or export the model again."
        ) from error
    if not interface.inputs or not interface.outputs:
        raise ModelFormatError(
            f"{program_file}: expected a program with inputs and outputs, received "
            f"{len(interface.inputs)} and {len(interface.outputs)}. Export the model for inference."
        )
    return interface


def _takes_row_zero(
    dims: Sequence[int], axes: object, starts: object, ends: object, dropped_axes: object
) -> bool:
    """Whether a slice picks the first row of a leading axis of open size and drops the axis.

    Rank 1 is left out: those are shapes and counts, whose first number says nothing about a batch.
    """
    return (
        len(dims) >= 2
        and dims[0] == -1
        and (axes, starts, ends, dropped_axes) == ([0], [0], [1], [0])
    )


_NORM_FLAGS = ("use_global_stats", "trainable_statistics", "is_test")


def _normalizes_by_input(
    uses_global: bool | None, trainable: bool | None, is_test: bool | None
) -> bool:
    """Whether a batch norm of Paddle with these flags leaves its stored statistics alone."""
    return not uses_global and (bool(trainable) or not is_test)


# PIR JSON. Keys: "#" kind, "%" value id, I operands, O results, A attributes (N name, AT value with
# its data in D), TT type. Kinds carry their dialect's number in front ("1.slice" is pd_op.slice).


def _read_pir(data: bytes) -> ProgramInterface:
    document = json.loads(data)
    magic = document["base_code"]["magic"]
    if magic != "pir":
        raise ValueError(f"base_code.magic is {magic!r}, not 'pir'")
    dims_of: dict[int, tuple[int, ...]] = {}
    constants: dict[int, list[int]] = {}
    inputs: list[ProgramTensor] = []
    fetched: list[tuple[int, ProgramTensor]] = []
    first_only = normalizes = loops = False
    for op in _pir_ops(document["program"]["regions"][0]["blocks"][0]):
        kind = op["#"].rpartition(".")[2]
        for result in op["O"]:
            if "TT" in result and _pir_kind(result["TT"]) == "t_dtensor":
                dims_of[result["%"]] = tuple(result["TT"]["D"][1])
        if kind == "data":
            inputs.append(_pir_tensor(op, len(inputs)))
        elif kind == "fetch":
            column = _pir_attribute(op, "col")
            fetched.append((column, _pir_tensor(op, column)))
        elif kind == "while":
            loops = True
        elif kind in ("batch_norm", "batch_norm_"):
            normalizes |= _normalizes_by_input(*(_pir_attribute(op, name) for name in _NORM_FLAGS))
        elif kind == "full_int_array":
            constants[op["O"][0]["%"]] = _pir_attribute(op, "value")
        elif kind == "slice":
            source, starts, ends = (operand["%"] for operand in op["I"])
            first_only |= _takes_row_zero(
                dims_of.get(source, ()),
                _pir_attribute(op, "axes"),
                constants.get(starts),
                constants.get(ends),
                _pir_attribute(op, "decrease_axis"),
            )
    outputs = tuple(tensor for _, tensor in sorted(fetched, key=lambda pair: pair[0]))
    parameters = tuple(
        TensorType(_pir_kind(element).removeprefix("t_"), tuple(dims))
        for op in document["program"]["regions"][0]["blocks"][0]["ops"]
        if op["#"] == "p"
        for element, dims in [op["O"]["TT"]["D"][:2]]
    )
    return ProgramInterface(tuple(inputs), outputs, first_only, normalizes, loops, parameters)


def _pir_ops(block: JsonObject) -> Iterator[JsonObject]:
    """Every operator with named results, those inside `if` and `while` too; parameters left out."""
    for op in block["ops"]:
        if op["#"] == "p":
            continue
        yield op
        for region in op.get("regions", ()):
            for inner in region["blocks"]:
                yield from _pir_ops(inner)


def _pir_kind(entry: JsonObject) -> str:
    return str(entry["#"]).rpartition(".")[2]


def _pir_attribute(op: JsonObject, name: str) -> Any:
    for attribute in op["A"]:
        if attribute["N"] == name:
            value = attribute["AT"]["D"]
            if isinstance(value, list):
                return [item["D"] if isinstance(item, dict) else item for item in value]
            return value
    raise KeyError(f"operator {op['#']} has no attribute {name}")


def _pir_tensor(op: JsonObject, index: int) -> ProgramTensor:
    element, dims = op["O"][0]["TT"]["D"][:2]
    kind = _pir_kind(element)
    return ProgramTensor(
        index, _pir_attribute(op, "name"), _PIR_DTYPES.get(kind, kind), tuple(dims)
    )


# ProgramDesc. Field numbers are those of Paddle's framework.proto.


def _read_program_desc(data: bytes) -> ProgramInterface:
    blocks = [_parse_message(block) for block in _parse_message(memoryview(data))[1]]
    tensors = {
        name: tensor for block in blocks for name, tensor in map(_proto_variable, block.get(3, []))
    }
    inputs: list[ProgramTensor] = []
    outputs: list[ProgramTensor] = []
    first_only = normalizes = loops = False
    for block in blocks:
        for op in map(_parse_message, block.get(4, [])):
            kind = _text(op[3][0])
            if kind == "feed":
                inputs.append(_proto_tensor(tensors, op, 2, "Out"))
            elif kind == "fetch":
                outputs.append(_proto_tensor(tensors, op, 1, "X"))
            elif kind == "while":
                loops = True
            elif kind == "batch_norm":
                flags = _proto_flags(op)
                normalizes |= _normalizes_by_input(*(flags.get(name) for name in _NORM_FLAGS))
            elif kind == "slice":
                _, dims = tensors[_proto_arguments(op, 1)["Input"][0]]
                lists = _proto_int_lists(op)
                # Bounds that are computed while the program runs have -1 among the infer flags.
                if -1 not in lists.get("infer_flags", []):
                    names = ("axes", "starts", "ends", "decrease_axis")
                    first_only |= _takes_row_zero(dims, *(lists.get(name) for name in names))
    return ProgramInterface(_by_column(inputs), _by_column(outputs), first_only, normalizes, loops)


def _by_column(tensors: list[ProgramTensor]) -> tuple[ProgramTensor, ...]:
    return tuple(sorted(tensors, key=lambda tensor: tensor.index))


def _proto_variable(data: memoryview) -> tuple[str, tuple[str, tuple[int, ...]]]:
    """Name, dtype and dims of a VarDesc; dtype "" for what is not a dense tensor."""
    variable = _parse_message(data)
    name = _text(variable[1][0])
    kind = _parse_message(variable[2][0])
    if 3 not in kind:
        return name, ("", ())
    tensor = _parse_message(_parse_message(kind[3][0])[1][0])
    code = tensor[1][0]
    return name, (_PROTO_DTYPES.get(code, f"type {code}"), tuple(_signed(tensor.get(2, []))))


def _proto_tensor(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]], op: Message, field: int, parameter: str
) -> ProgramTensor:
    name = _proto_arguments(op, field)[parameter][0]
    attributes = {_text(item[1][0]): item for item in map(_parse_message, op.get(4, []))}
    column = attributes["col"].get(3, [0])[0]
    return ProgramTensor(column, name, *tensors[name])


def _proto_arguments(op: Message, field: int) -> dict[str, list[str]]:
    """Parameter name -> variable names, of an OpDesc's inputs (field 1) or outputs (field 2)."""
    entries = map(_parse_message, op.get(field, []))
    return {_text(entry[1][0]): [_text(item) for item in entry.get(2, [])] for entry in entries}


def _proto_int_lists(op: Message) -> dict[str, list[int]]:
    """An OpDesc's attributes that are lists of int32, by name."""
    attributes = map(_parse_message, op.get(4, []))
    return {_text(item[1][0]): _signed(item[6]) for item in attributes if 6 in item}


def _proto_flags(op: Message) -> dict[str, bool]:
    """An OpDesc's attributes that are true or false, by name."""
    attributes = map(_parse_message, op.get(4, []))
    return {_text(item[1][0]): bool(item[10][0]) for item in attributes if 10 in item}


def _text(data: memoryview) -> str:
    return bytes(data).decode()


def _signed(values: Sequence[int | memoryview]) -> list[int]:
    """Integers of a repeated field, packed or not, from two's complement."""
    numbers: list[int] = []
    for value in values:
        if isinstance(value, int):
            numbers.append(value)
        else:
            position = 0
            while position < len(value):
                number, position = _varint(value, position)
                numbers.append(number)
    return [number - (1 << 64) if number >> 63 else number for number in numbers]


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Value of the varint at `position`, and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _parse_message(data: memoryview) -> Message:
    """Split one protobuf message into its fields; nested messages stay bytes."""
    fields: Message = {}
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        wire_type = key & 7
        value: int | memoryview
        if wire_type == 0:
            value, position = _varint(data, position)
        else:
            if wire_type == 2:
                length, position = _varint(data, position)
            elif wire_type in (1, 5):
                length = 8 if wire_type == 1 else 4
            else:
                raise ValueError(f"protobuf wire type {wire_type} at byte {position}")
            if position + length > len(data):
                raise ValueError(f"the file ends {position + length - len(data)} bytes early")
            value, position = data[position : position + length], position + length
        fields.setdefault(key >> 3, []).append(value)
    return fields
