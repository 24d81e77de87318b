# SPDX-License-Identifier: Apache-2.0
"""The protobuf wire format, as far as Paddle's model files use it, without the protobuf package.

Paddle stores two kinds of protobuf messages: a `ProgramDesc` in `inference.pdmodel`, and a
`TensorDesc` in front of each tensor of `inference.pdiparams`. The base installation of hpip has no
protobuf runtime, and Paddle's generated classes need an import of Paddle, which takes seconds. The
format itself is small: a message is a sequence of fields, and a field is a key (field number and
wire type) followed by a varint, by a fixed number of bytes, or by a length and that many bytes. See
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

# Field number -> values: an int for a varint, a memoryview for bytes and nested messages.
Message: TypeAlias = dict[int, list[Any]]

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5


def parse_message(data: bytes | memoryview) -> Message:
    """Split one message into its fields; nested messages stay bytes, to be parsed in turn.

    Raises:
        ValueError: the data is truncated or not a protobuf message.
    """
    data = memoryview(data)
    fields: Message = {}
    position = 0
    while position < len(data):
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
        fields.setdefault(key >> 3, []).append(value)
    return fields


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
