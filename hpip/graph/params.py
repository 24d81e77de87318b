# SPDX-License-Identifier: Apache-2.0
"""Weights in Paddle's combined parameter file (`inference.pdiparams`), memory-mapped.

The file holds the tensors back to back, sorted by name, without the names. In front of each tensor
are a fixed header and a protobuf `TensorDesc`.
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
from hpip.graph.protobuf import encode_varint, parse_message, signed_integers
from hpip.types import AnyArray

# Codes of VarType.Type in framework.proto, and the names that a PIR program uses for them.
# NumPy has no bfloat16: such a tensor is returned as uint16 bit patterns.
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

# Version of the tensor, number of levels of detail (0), version of the TensorDesc, its bytes.
_HEADER = struct.Struct("<IQIi")


@dataclass(frozen=True)
class StoredTensor:
    """Type of one tensor, and its place in the file in bytes."""

    type: TensorType
    kind: np.dtype[np.generic]
    offset: int
    size_bytes: int


class ParameterFile:
    """Read access to a combined parameter file by name, without loading it.

    The arrays that it returns keep the file mapped.
    """

    def __init__(self, path: Path, program: Program) -> None:
        """Find each parameter of `program` in the file; only the headers are read.

        Raises:
            ModelFormatError: the file is missing, truncated, or does not belong to this program.
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
                f"{path} has {rest_bytes} bytes after the {len(parameters)} parameters of the "
                "program: it belongs to another exported model. Use the program and the parameters "
                "of the same export."
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
        f"{path} does not fit the program: expected {len(wanted)} tensors, received"
        f" {found.total()}; {missing.dtype}{list(missing.shape)} is one of the differences. The"
        " file is truncated or belongs to another exported model. Use the program and the"
        " parameters of the same export."
    )


def write_parameters(path: Path, arrays: Mapping[str, AnyArray]) -> None:
    """Write a combined parameter file, one tensor at a time to limit memory."""
    with path.open("wb") as stream:
        for name in sorted(arrays):
            # Not ascontiguousarray: that turns a scalar into a vector.
            array = np.asarray(arrays[name], order="C")
            if array.dtype not in _CODES:
                raise ModelFormatError(
                    f"parameter {name}: expected one of "
                    f"{', '.join(sorted(str(kind) for kind in _CODES))}; received {array.dtype}."
                )
            description = b"\x08" + encode_varint(_CODES[array.dtype])
            description += b"".join(b"\x10" + encode_varint(length) for length in array.shape)
            stream.write(_HEADER.pack(0, 0, 0, len(description)) + description)
            stream.write(array.reshape(-1).view(np.uint8).data)


def _read_header(stream: BinaryIO, size_bytes: int, name: str, path: Path) -> StoredTensor:
    fixed = stream.read(_HEADER.size)
    if len(fixed) < _HEADER.size:
        raise _truncated(path, name)
    tensor_version, levels, description_version, length = _HEADER.unpack(fixed)
    if tensor_version or levels or description_version or not 0 < length < 4096:
        raise ModelFormatError(
            f"{path}: expected the tensor header of parameter {name} at byte "
            f"{stream.tell() - _HEADER.size}, found no tensor header. The file is damaged or "
            "belongs to another program. Copy or download it again."
        )
    description = stream.read(length)
    if len(description) < length:
        raise _truncated(path, name)
    try:
        code, shape = _parse_description(description)
    except (ModelFormatError, ValueError, KeyError) as error:
        raise ModelFormatError(
            f"{path}: the description of parameter {name} is damaged: {error}. Copy or download "
            "the file again."
        ) from error
    if code not in _DTYPES:
        raise ModelFormatError(
            f"{path}: parameter {name} has the unsupported data type code {code}; supported are "
            f"{sorted(_DTYPES)}."
        )
    dtype, kind = _DTYPES[code]
    size = math.prod(shape) * np.dtype(kind).itemsize
    if stream.tell() + size > size_bytes:
        raise _truncated(path, name)
    return StoredTensor(TensorType(dtype, shape), np.dtype(kind), stream.tell(), size)


def _truncated(path: Path, name: str) -> ModelFormatError:
    return ModelFormatError(
        f"{path} is truncated: it ends before parameter {name} does. Copy or download it again."
    )


def _check_type(found: TensorType, wanted: TensorType | None, name: str, path: Path) -> None:
    if wanted is not None and (found.dtype != wanted.dtype or found.shape != wanted.shape):
        raise ModelFormatError(
            f"{path}: parameter {name} is {found.dtype}{list(found.shape)}, but the program "
            f"expects {wanted.dtype}{list(wanted.shape)}. Use the program and the parameters of "
            "the same export."
        )


def _parse_description(description: bytes) -> tuple[int, tuple[int, ...]]:
    """Data type code and shape from a serialized TensorDesc (fields 1 and 2)."""
    fields = parse_message(description)
    (code,) = fields[1]
    shape = tuple(signed_integers(fields.get(2, ())))
    if min(shape, default=0) < 0:
        raise ValueError(f"negative length in shape {shape}")
    return code, shape
