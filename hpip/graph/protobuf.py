# SPDX-License-Identifier: Apache-2.0
"""The protobuf wire format, as far as model files use it, without the protobuf package.

Paddle stores two kinds of protobuf messages: a `ProgramDesc` in `inference.pdmodel`, and a
`TensorDesc` in front of each tensor of `inference.pdiparams`; an ONNX model is a `ModelProto`. The
base installation of hpip has no protobuf runtime and no onnx package, and Paddle's generated
classes need an import of Paddle, which takes seconds. The format itself is small: a message is a
sequence of fields, and a field is a key (field number and wire type) followed by a varint, by a
fixed number of bytes, or by a length and that many bytes. See
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

# Field number -> values: an int for a varint, a memoryview for bytes and nested messages.
Message: TypeAlias = dict[int, list[Any]]

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Field:
    """One field of a message.

    Attributes:
        number: its number in the message's definition.
        value: an int for a varint, a memoryview for bytes, nested messages and fixed numbers.
        encoded: the field as it is in the message, with its key.
    """

    number: int
    value: int | memoryview
    encoded: memoryview


def read_fields(data: bytes | memoryview) -> Iterator[Field]:
    """The fields of one message, in their order; nested messages stay bytes, to be read in turn.

    Raises:
        ValueError: the data is truncated or not a protobuf message.
    """
    data = memoryview(data)
    position = 0
    while position < len(data):
        start = position
        key, position = read_varint(data, position)
        wire_type = key & 7
        value: int | memoryview
        if wire_type == _VARINT:
            value, position = read_varint(data, position)
        else:
            if wire_type == _BYTES:
                length, position = read_varint(data, position)
            elif wire_type in (_FIXED_64, _FIXED_32):
                length = 8 if wire_type == _FIXED_64 else 4
            else:
                raise ValueError(f"unknown protobuf wire type {wire_type} at byte {position}")
            if position + length > len(data):
                raise ValueError(f"the data ends {position + length - len(data)} bytes early")
            value, position = data[position : position + length], position + length
        yield Field(key >> 3, value, data[start:position])


def parse_message(data: bytes | memoryview) -> Message:
    """Group the fields of one message by their number.

    Raises:
        ValueError: the data is truncated or not a protobuf message.
    """
    fields: Message = {}
    for field in read_fields(data):
        fields.setdefault(field.number, []).append(field.value)
    return fields


def encode_bytes(number: int, value: bytes) -> bytes:
    """A field of type string, bytes or message."""
    return encode_varint(number << 3 | _BYTES) + encode_varint(len(value)) + value


def read_varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """Value of the varint at `position`, without sign, and the position after it.

    Raises:
        ValueError: the data ends within the varint, or it has more than 64 bits.
    """
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError(f"a number at byte {position} is truncated or has more than 64 bits")


def encode_varint(value: int) -> bytes:
    """The varint of a number of at least 0."""
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed_integers(values: Sequence[int | memoryview]) -> list[int]:
    """Integers of a repeated int32 or int64 field, packed or not, from two's complement."""
    numbers: list[int] = []
    for value in values:
        if isinstance(value, int):
            numbers.append(value)
            continue
        position = 0
        while position < len(value):
            number, position = read_varint(value, position)
            numbers.append(number)
    return [number - (1 << 64) if number >> 63 else number for number in numbers]


def text(data: memoryview) -> str:
    """A field of type string."""
    return bytes(data).decode()
