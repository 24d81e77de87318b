# SPDX-License-Identifier: Apache-2.0
"""The wire format: against what the protobuf package writes, and on damaged data."""

from __future__ import annotations

import pytest

from hpip.graph.protobuf import (
    encode_varint,
    parse_message,
    read_varint,
    signed_integers,
    text,
)

NUMBERS = [0, 1, 127, 128, 300, 2**31 - 1, 2**32, 2**63, 2**64 - 1]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_varint_is_read_back_with_the_position_after_it(number: int) -> None:
    data = b"\xff" + encode_varint(number) + b"\x07"
    assert read_varint(data, 1) == (number, len(data) - 1)


def test_a_varint_equals_the_example_of_the_protobuf_documentation() -> None:
    assert encode_varint(150) == b"\x96\x01"


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 11], ids=["empty", "truncated", "long"])
def test_a_damaged_varint_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="truncated or has more than 64 bits"):
        read_varint(data, 0)


def test_a_message_of_the_protobuf_package_is_split_into_its_fields() -> None:
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(
        dims=[3, -1, 2**40], data_type=1, name="weights", raw_data=b"\x00\x01", float_data=[0.5]
    )
    tensor.external_data.add(key="offset", value="12")

    fields = parse_message(tensor.SerializeToString())

    assert signed_integers(fields[1]) == [3, -1, 2**40]
    assert fields[2] == [1]
    assert bytes(fields[4][0]) == b"\x00\x00\x00\x3f"  # packed
    assert text(fields[8][0]) == "weights"
    assert bytes(fields[9][0]) == b"\x00\x01"
    entry = parse_message(fields[13][0])
    assert (text(entry[1][0]), text(entry[2][0])) == ("offset", "12")


def test_packed_and_repeated_integers_are_the_same() -> None:
    repeated = b"".join(b"\x08" + encode_varint(number) for number in (1, 300, 2**64 - 2))
    content = b"".join(encode_varint(number) for number in (1, 300, 2**64 - 2))
    packed = b"\x0a" + encode_varint(len(content)) + content

    for data in (repeated, packed):
        assert signed_integers(parse_message(data)[1]) == [1, 300, -2]


def test_fields_of_fixed_length_are_skipped_over() -> None:
    fields = parse_message(b"\x09" + bytes(8) + b"\x15" + bytes(4) + b"\x18\x05")
    assert [len(fields[1][0]), len(fields[2][0]), fields[3]] == [8, 4, [5]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"\x0a\x05ab", "3 bytes early"), (b"\x09ab", "6 bytes early"), (b"\x0b", "wire type 3")],
)
def test_a_damaged_message_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_message(data)
