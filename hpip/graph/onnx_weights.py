# SPDX-License-Identifier: Apache-2.0
"""Changes the file in which an ONNX model's weights are, without the onnx package.

An ONNX model may keep its weights in another file: such a tensor has a location, an offset and a
length instead of data. hpip's models have one such file, Paddle's parameters, and only initializers
of the main graph refer to it. Field numbers are those of onnx.proto, version 1.
"""

from __future__ import annotations

from collections.abc import Iterator

from hpip.graph.protobuf import Field, encode_bytes, parse_message, read_fields, text

_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE_INITIALIZER = 1, 5, 15
_NODE_ATTRIBUTE, _NODE_DOMAIN = 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_TENSOR_NAME, _TENSOR_EXTERNAL_DATA = 8, 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
# Operators of ONNX itself; an engine's own ones may load files or libraries.
_DOMAINS = ("", "ai.onnx")


def move_weights(
    model: bytes, *, location: str, new_location: str, start: int, size_bytes: int
) -> bytes:
    """The model with weights that are read from another file.

    Args:
        model: a serialized ONNX model.
        location: name of the weight file that its tensors must refer to.
        new_location: name of the file to read instead, in the same folder.
        start: position of the weights in the new file, in bytes.
        size_bytes: size of the weights, which no tensor may exceed.

    Raises:
        ValueError: the data is no ONNX model, or it refers to other files or outside of the
            weights, or it has operators or parts that hpip does not write.
    """
    written = bytearray()
    has_graph = False
    for field in read_fields(model):
        if field.number == _MODEL_FUNCTIONS:
            raise ValueError("the model defines functions")
        if field.number != _MODEL_GRAPH:
            written += field.encoded
            continue
        has_graph = True
        graph = bytearray()
        for part in _checked_graph(_bytes(field)):
            if part.number == _GRAPH_INITIALIZER:
                moved = _moved(_bytes(part), location, new_location, start, size_bytes)
                graph += encode_bytes(_GRAPH_INITIALIZER, moved)
            else:
                graph += part.encoded
        written += encode_bytes(_MODEL_GRAPH, bytes(graph))
    if not has_graph:
        raise ValueError("the model has no graph")
    return bytes(written)


def _moved(
    tensor: memoryview, location: str, new_location: str, start: int, size_bytes: int
) -> bytes:
    """An initializer with its place in the new file; as it is if its data is in the model."""
    written = bytearray()
    place: dict[str, str] = {}
    name = ""
    for field in read_fields(tensor):
        if field.number == _TENSOR_EXTERNAL_DATA:
            entry = parse_message(_bytes(field))
            place[text(entry[_ENTRY_KEY][-1])] = text(entry[_ENTRY_VALUE][-1])
        else:
            if field.number == _TENSOR_NAME:
                name = text(_bytes(field))
            written += field.encoded
    if not place:
        return bytes(tensor)
    if set(place) != {"location", "offset", "length"} or place["location"] != location:
        raise ValueError(
            f"the weights {name!r} are at {place}; expected an offset and a length in {location}"
        )
    offset, length = int(place["offset"]), int(place["length"])
    if min(offset, length) < 0 or offset + length > size_bytes:
        raise ValueError(
            f"the weights {name!r} are {length} bytes at {offset}, but {location} has {size_bytes}"
        )
    place = {"location": new_location, "offset": str(start + offset), "length": str(length)}
    for key, value in place.items():
        entry_bytes = encode_bytes(_ENTRY_KEY, key.encode())
        entry_bytes += encode_bytes(_ENTRY_VALUE, value.encode())
        written += encode_bytes(_TENSOR_EXTERNAL_DATA, entry_bytes)
    return bytes(written)


def _checked_graph(graph: memoryview) -> Iterator[Field]:
    """The fields of a graph; raises ValueError for a node that hpip does not write."""
    for field in read_fields(graph):
        if field.number == _GRAPH_SPARSE_INITIALIZER:
            raise ValueError("the model has sparse weights")
        if field.number == _GRAPH_NODE:
            _check_node(_bytes(field))
        yield field


def _check_node(node: memoryview) -> None:
    for field in read_fields(node):
        if field.number == _NODE_DOMAIN and text(_bytes(field)) not in _DOMAINS:
            raise ValueError(f"the model has operators of {text(_bytes(field))!r}")
        if field.number == _NODE_ATTRIBUTE:
            _check_attribute(_bytes(field))


def _check_attribute(attribute: memoryview) -> None:
    for field in read_fields(attribute):
        if field.number in _ATTRIBUTE_SPARSE:
            raise ValueError("the model has sparse constants")
        if field.number in _ATTRIBUTE_TENSORS:
            _check_constant(_bytes(field))
        if field.number in _ATTRIBUTE_GRAPHS:
            for part in _checked_graph(_bytes(field)):
                if part.number == _GRAPH_INITIALIZER:
                    _check_constant(_bytes(part))


def _check_constant(tensor: memoryview) -> None:
    if any(field.number == _TENSOR_EXTERNAL_DATA for field in read_fields(tensor)):
        raise ValueError("the model has constants in other files")


def _bytes(field: Field) -> memoryview:
    if isinstance(field.value, int):
        raise ValueError(f"field {field.number} is a number; expected bytes")
    return field.value
