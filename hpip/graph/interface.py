# SPDX-License-Identifier: Apache-2.0
"""Inputs, outputs and batch safety of an exported program, read without importing Paddle.

Paddle has two formats: PIR in JSON (`inference.json`, since 3.0) and the older `ProgramDesc` in
protobuf (`inference.pdmodel`), of which only the interface is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hpip.errors import ModelFormatError
from hpip.graph.batching import (
    NORM_FLAGS,
    norm_uses_batch_statistics,
    slice_takes_first_image,
    takes_first_image,
    uses_batch_statistics,
)
from hpip.graph.operation import PARAMETER, Operation, TensorType
from hpip.graph.program import Program
from hpip.graph.protobuf import Message, parse_message, signed_integers, text

_PIR_DTYPES = {
    "bool": "bool",
    "i8": "int8",
    "ui8": "uint8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "f16": "float16",
    "bf16": "bfloat16",
    "f32": "float32",
    "f64": "float64",
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
        name: its name in the program, which engines use too.
        dtype: NumPy's name of the element type.
        dims: length of each axis; -1 for a dynamic axis.
    """

    index: int
    name: str
    dtype: str
    dims: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}{list(self.dims)}"


@dataclass(frozen=True)
class ProgramInterface:
    """Inputs and outputs of a program, in its order, and what limits its batch size to 1.

    Attributes:
        inputs: what must be fed.
        outputs: what can be fetched.
        reads_first_image_only: the program takes row 0 of a batch somewhere (the size of the first
            image, its features) and drops the other rows.
        uses_batch_statistics: a batch norm uses batch statistics instead of running statistics, so
            that the images of a batch affect each other's results.
        loops: the program has a `while`. Exported two-stage models loop over the images of a batch
            and fail if these have different numbers of boxes.
        parameters: types of the weights, in no order; None if the format does not tell them.
    """

    inputs: tuple[ProgramTensor, ...]
    outputs: tuple[ProgramTensor, ...]
    reads_first_image_only: bool
    uses_batch_statistics: bool
    loops: bool
    parameters: tuple[TensorType, ...] | None = None


def read_interface(program_file: Path) -> ProgramInterface:
    """Read the interface of an `inference.json` or `inference.pdmodel`.

    Raises:
        ModelFormatError: the file is missing, truncated, or not a program exported by Paddle.
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
    except (
        *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError),
    ) as error:
        raise ModelFormatError(
            f"{program_file} is damaged or not an exported Paddle program: expected "
            f"{' or '.join(readers)} as Paddle writes it, received a file that fails with "
            f"{type(error).__name__}: {str(error)[:500]}. Copy or export the model again."
        ) from error
    if not interface.inputs or not interface.outputs:
        raise ModelFormatError(
            f"{program_file}: expected a program with inputs and outputs, received "
            f"{len(interface.inputs)} and {len(interface.outputs)}. Export the model for inference."
        )
    return interface


def _read_pir(data: bytes) -> ProgramInterface:
    document = json.loads(data)
    magic = document["base_code"]["magic"]
    if magic != "pir":
        raise ValueError(f"base_code.magic is {magic!r}, not 'pir'")
    # Not `Program.read`, which refuses unknown format versions: their interface can be read, and
    # Paddle can run the original graph.
    program = Program(document)
    operations = list(program.walk())
    return ProgramInterface(
        tuple(_pir_tensor(op, index) for index, op in enumerate(program.inputs.values())),
        tuple(_pir_tensor(op, op.attribute("col")) for op in program.outputs),
        reads_first_image_only=any(takes_first_image(program, op) for op in operations),
        uses_batch_statistics=any(uses_batch_statistics(op) for op in operations),
        loops=any(op.name == "pd_op.while" for op in operations),
        parameters=tuple(
            kind
            for op in program.block.operations
            if op.name == PARAMETER
            for kind in op.output_types
            if kind is not None
        ),
    )


def _pir_tensor(op: Operation, index: int) -> ProgramTensor:
    (kind,) = op.output_types
    if kind is None:
        raise ValueError(f"{op} is not a dense tensor")
    dtype = _PIR_DTYPES.get(kind.dtype, kind.dtype)
    return ProgramTensor(index, op.attribute("name"), dtype, kind.shape)


# ProgramDesc: field numbers are those of Paddle's framework.proto.


def _read_program_desc(data: bytes) -> ProgramInterface:
    blocks = [parse_message(block) for block in parse_message(data)[1]]
    tensors = {
        name: tensor for block in blocks for name, tensor in map(_proto_variable, block.get(3, []))
    }
    inputs: list[ProgramTensor] = []
    outputs: list[ProgramTensor] = []
    first_only = batch_norm = loops = False
    for block in blocks:
        for op in map(parse_message, block.get(4, [])):
            kind = text(op[3][0])
            if kind == "feed":
                inputs.append(_proto_tensor(tensors, op, 2, "Out"))
            elif kind == "fetch":
                outputs.append(_proto_tensor(tensors, op, 1, "X"))
            elif kind == "while":
                loops = True
            elif kind == "batch_norm":
                flags = _proto_flags(op)
                batch_norm |= norm_uses_batch_statistics(*(flags.get(n) for n in NORM_FLAGS))
            elif kind == "slice":
                _, dims = tensors[_proto_arguments(op, 1)["Input"][0]]
                lists = _proto_int_lists(op)
                # Bounds that are computed at run time have -1 among the infer flags.
                if -1 not in lists.get("infer_flags", []):
                    names = ("axes", "starts", "ends", "decrease_axis")
                    first_only |= slice_takes_first_image(dims, *map(lists.get, names))
    return ProgramInterface(_by_column(inputs), _by_column(outputs), first_only, batch_norm, loops)


def _by_column(tensors: list[ProgramTensor]) -> tuple[ProgramTensor, ...]:
    return tuple(sorted(tensors, key=lambda tensor: tensor.index))


def _proto_variable(data: memoryview) -> tuple[str, tuple[str, tuple[int, ...]]]:
    """Name, dtype and dims of a VarDesc; dtype "" for anything but a dense tensor."""
    variable = parse_message(data)
    name = text(variable[1][0])
    kind = parse_message(variable[2][0])
    if 3 not in kind:
        return name, ("", ())
    tensor = parse_message(parse_message(kind[3][0])[1][0])
    code = tensor[1][0]
    return name, (
        _PROTO_DTYPES.get(code, f"type {code}"),
        tuple(signed_integers(tensor.get(2, []))),
    )


def _proto_tensor(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]], op: Message, field: int, parameter: str
) -> ProgramTensor:
    name = _proto_arguments(op, field)[parameter][0]
    attributes = {text(item[1][0]): item for item in map(parse_message, op.get(4, []))}
    column = attributes["col"].get(3, [0])[0]
    return ProgramTensor(column, name, *tensors[name])


def _proto_arguments(op: Message, field: int) -> dict[str, list[str]]:
    """Parameter name -> variable names, of an OpDesc's inputs (field 1) or outputs (field 2)."""
    entries = map(parse_message, op.get(field, []))
    return {text(entry[1][0]): [text(item) for item in entry.get(2, [])] for entry in entries}


def _proto_int_lists(op: Message) -> dict[str, list[int]]:
    """An OpDesc's int32 list attributes, by name."""
    attributes = map(parse_message, op.get(4, []))
    return {text(item[1][0]): signed_integers(item[6]) for item in attributes if 6 in item}


def _proto_flags(op: Message) -> dict[str, bool]:
    """An OpDesc's boolean attributes, by name."""
    attributes = map(parse_message, op.get(4, []))
    return {text(item[1][0]): bool(item[10][0]) for item in attributes if 10 in item}
