# SPDX-License-Identifier: Apache-2.0
"""Moving weights: what the onnx package reads afterwards is the oracle."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from hpip.graph.onnx_weights import move_weights


def _model() -> onnx.ModelProto:
    inside = onnx.numpy_helper.from_array(np.arange(3.0), "inside")
    outside = onnx.TensorProto(
        name="outside", dims=[2], data_type=1, data_location=onnx.TensorProto.EXTERNAL
    )
    for key, value in (("location", "w.bin"), ("offset", "8"), ("length", "8")):
        outside.external_data.add(key=key, value=value)
    branch = onnx.helper.make_graph([], "branch", [], [], [inside])
    nodes = [
        onnx.helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
        onnx.helper.make_node("Add", ["outside", "inside"], ["z"]),
    ]
    graph = onnx.helper.make_graph(nodes, "g", [], [], [inside, outside])
    return onnx.helper.make_model(graph, producer_name="hpip")


def _moved(model: onnx.ModelProto, **changes: object) -> onnx.ModelProto:
    arguments = {"location": "w.bin", "new_location": "m.hpip", "start": 100, "size_bytes": 16}
    data = move_weights(model.SerializeToString(), **{**arguments, **changes})  # type: ignore[arg-type]
    return onnx.load_from_string(data)


def test_only_the_place_of_external_weights_changes() -> None:
    expected = _model()
    for entry in expected.graph.initializer[1].external_data:
        entry.value = {"location": "m.hpip", "offset": "108", "length": "8"}[entry.key]
    assert _moved(_model()) == expected


def test_moving_there_and_back_changes_nothing() -> None:
    there = _moved(_model()).SerializeToString()
    back = move_weights(there, location="m.hpip", new_location="w.bin", start=-100, size_bytes=1000)
    assert onnx.load_from_string(back) == _model()


def test_weights_past_the_end_are_refused() -> None:
    with pytest.raises(ValueError, match=r"8 bytes at 8, but w\.bin has 15"):
        _moved(_model(), size_bytes=15)


def test_an_incomplete_place_is_refused() -> None:
    model = _model()
    del model.graph.initializer[1].external_data[2]
    with pytest.raises(ValueError, match="expected an offset and a length"):
        _moved(model)


def test_weights_of_a_branch_outside_of_the_model_are_refused() -> None:
    model = _model()
    tensor = model.graph.node[0].attribute[0].g.initializer[0]
    tensor.external_data.add(key="location", value="w.bin")
    with pytest.raises(ValueError, match="constants in other files"):
        _moved(model)
