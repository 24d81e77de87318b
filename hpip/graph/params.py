# SPDX-License-Identifier: Apache-2.0
"""Weights in Paddle's combined file (`inference.pdiparams`): mapped, never copied unless changed.

The file holds the tensors back to back in the order of their sorted names, without the names.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hpip.errors import ModelFormatError
from hpip.graph.operation import TensorType
from hpip.graph.program import Program
from hpip.types import AnyArray

# Codes of VarType.Type in framework.proto, and the names that a PIR program uses for them.
# NumPy has no bfloat16: such a tensor is handed out as its 16-bit patterns.
_DTYPES: dict[int, tuple[str, type[np.generic]]] = {
    0: ("bool", np.bool_),
    1: ("i16", np.int16),
    2: ("i32", np.int32),
    3: ("i64", np.int64),
    4: ("f16", np.float16),
    5: ("f32", np.float32),
    6: ("f64", np.float64),
    20: ("ui8", np.uint8),
    21: ("i8", np.int8),
    22: ("bf16", np.uint16),
}
_CODES = {np.dtype(kind): code for code, (name, kind) in _DTYPES.items() if name != "bf16"}

# Version of the tensor, levels of detail (none), version of the description, its length in bytes.
_HEADER = struct.Struct("<IQIi")


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies in the file."""

    type: TensorType
    kind: np.dtype[np.generic]
    offset: int
    size_bytes: int


class ParameterFile:
    """Read access to a combined parameter file by name, without loading it.

    Close it, or use it as a context manager; arrays taken from it keep the mapping alive.
    """

    def __init__(self, path: Path, program: Program) -> None:
        """Find each parameter of `program` in the file; only the headers are read.

        Raises:
            ModelFormatError: missing, truncated, or not the weights of this program.
        """
        self.path = path
        self._map: mmap.mmap | None = None
        parameters = program.parameters
        self.tensors: dict[str, StoredTensor] = {}
        try:
            with path.open("rb") as stream:
                size_bytes = stream.seek(0, 2)
                stream.seek(0)
                for name in sorted(parameters):
                    stored = _read_header(stream, size_bytes, name, path)
                    _check_type(stored.type, parameters[name].output_types[0], name, path)
                    self.tensors[name] = stored
                    stream.seek(stored.offset + stored.size_bytes)
                rest_bytes = size_bytes - stream.tell()
        except OSError as error:
            raise ModelFormatError(f"cannot read the parameters {path}: {error}") from error
        if rest_bytes:
            raise ModelFormatError(
                f"{path} goes on for {rest_bytes} bytes after the {len(parameters)} parameters of "
                "the program: it belongs to another export. Take both files from the same one."
            )

    def array(self, name: str) -> AnyArray:
        """Read-only view of one tensor in the mapped file."""
        stored = self.tensors[name]
        if stored.size_bytes == 0:
            return np.empty(stored.type.shape, stored.kind)
        if self._map is None:
            with self.path.open("rb") as stream:
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        count = math.prod(stored.type.shape)
        flat = np.frombuffer(self._map, stored.kind, count, stored.offset)
        return flat.reshape(stored.type.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)


def check_parameters(path: Path, wanted: Collection[TensorType] | None) -> None:
    """Check that a file is whole, and that its tensors are those that a program reads.

    Only the headers are read, so that every load can afford it (1 ms for 500 tensors). Paddle
    itself fills what a file lacks with whatever is in memory.

    Args:
        path: the parameter file.
        wanted: the types of all parameters, in any order; None checks that the file is whole.

    Raises:
        ModelFormatError: truncated, too long, or not the weights of this program.
    """
    found: Counter[TensorType] = Counter()
    try:
        with path.open("rb") as stream:
            size_bytes = stream.seek(0, 2)
            stream.seek(0)
            while stream.tell() < size_bytes:
                stored = _read_header(stream, size_bytes, f"number {found.total()}", path)
                found[stored.type] += 1
                stream.seek(stored.offset + stored.size_bytes)
    except OSError as error:
        raise ModelFormatError(f"cannot read the parameters {path}: {error}") from error
    if wanted is None or found == Counter(wanted):
        return
    missing = next(iter(Counter(wanted) - found), None) or next(iter(found - Counter(wanted)))
    raise ModelFormatError(
        f"{path} holds {found.total()} tensors where the program wants {len(wanted)}, and they"
        f" differ, for one in {missing.dtype}{list(missing.shape)}: it is truncated or belongs to"
        " another export. Take both files from the same one."
    )


def write_parameters(path: Path, arrays: Mapping[str, AnyArray]) -> None:
    """Write a combined parameter file; one tensor after the other, so that none is held twice."""
    with path.open("wb") as stream:
        for name in sorted(arrays):
            # Not ascontiguousarray: that turns a scalar into a vector.
            array = np.asarray(arrays[name], order="C")
            if array.dtype not in _CODES:
                raise ModelFormatError(
                    f"parameter {name} is {array.dtype}; a parameter file holds "
                    f"{', '.join(sorted(str(kind) for kind in _CODES))}."
                )
            description = b"\x08" + _varint(_CODES[array.dtype])
            description += b"".join(b"\x10" + _varint(length) for length in array.shape)
            stream.write(_HEADER.pack(0, 0, 0, len(description)) + description)
            stream.write(array.reshape(-1).view(np.uint8).data)


def _read_header(stream: BinaryIO, size_bytes: int, name: str, path: Path) -> StoredTensor:
    fixed = stream.read(_HEADER.size)
    if len(fixed) < _HEADER.size:
        raise _truncated(path, name)
    tensor_version, levels, description_version, length = _HEADER.unpack(fixed)
    if tensor_version or levels or description_version or not 0 < length < 4096:
        raise ModelFormatError(
            f"{path}: no tensor header where parameter {name} should begin (byte "
            f"{stream.tell() - _HEADER.size}). The file is damaged or belongs to another program."
        )
    description = stream.read(length)
    if len(description) < length:
        raise _truncated(path, name)
    try:
        code, shape = _parse_description(description)
    except ModelFormatError as error:
        raise ModelFormatError(f"{path}: parameter {name}: {error}") from error
    if code not in _DTYPES:
        raise ModelFormatError(
            f"{path}: parameter {name} has data type code {code}; known are {sorted(_DTYPES)}."
        )
    dtype, kind = _DTYPES[code]
    size = math.prod(shape) * np.dtype(kind).itemsize
    if stream.tell() + size > size_bytes:
        raise _truncated(path, name)
    return StoredTensor(TensorType(dtype, shape), np.dtype(kind), stream.tell(), size)


def _truncated(path: Path, name: str) -> ModelFormatError:
    return ModelFormatError(
        f"{path} ends before parameter {name} does. Copy or download the file again."
    )


def _check_type(found: TensorType, wanted: TensorType | None, name: str, path: Path) -> None:
    if wanted is not None and (found.dtype != wanted.dtype or found.shape != wanted.shape):
        raise ModelFormatError(
            f"{path}: parameter {name} is {found.dtype}{list(found.shape)}, but the program wants "
            f"{wanted.dtype}{list(wanted.shape)}. Take both files from the same export."
        )


def _parse_description(description: bytes) -> tuple[int, tuple[int, ...]]:
    """Data type code and shape from a serialized TensorDesc (fields 1 and 2, both varints)."""
    code = -1
    shape: list[int] = []
    position = 0
    while position < len(description):
        key = description[position]
        if key == 0x12:  # packed repeated field, as proto3 writers would emit it
            end, position = _read_varint(description, position + 1)
            end += position
            while position < end:
                length, position = _read_varint(description, position)
                shape.append(length)
            continue
        value, position = _read_varint(description, position + 1)
        if key == 0x08:
            code = value
        elif key == 0x10:
            shape.append(value)
    return code, tuple(shape)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if byte < 0x80:
            return value, position
    raise ModelFormatError("a tensor description ends in the middle of a number: damaged file.")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
