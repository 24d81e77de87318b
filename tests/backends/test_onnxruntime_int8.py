# SPDX-License-Identifier: Apache-2.0
"""Which operators the quantizer leaves in fp32, and which models it refuses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpip.backends.onnxruntime_int8 import quantize, quantizer
from hpip.common.devices import Device
from hpip.errors import BackendError
from hpip.inference.execution.program_formats import artifact
from hpip.types import ModelFiles
from tests.graph.programs import paddle_module, save_layer

FEEDS = [{"image": np.random.default_rng(0).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)}]


@pytest.fixture(autouse=True)
def _packages() -> None:
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed")


def exported(folder: Path, forward: Any) -> ModelFiles:
    paddle = paddle_module()

    class Net(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = paddle.nn.Conv2D(3, 6, 3, padding=1)
            self.norm = paddle.nn.BatchNorm2D(6)
            self.linear = paddle.nn.Linear(6, 6)

        def forward(self, image: Any) -> Any:
            return forward(self, image)

    paddle.seed(3)
    save_layer(folder, Net(), image=([None, 3, 16, 16], "float32"))
    return artifact(ModelFiles(folder / "inference.json", folder / "inference.pdiparams"), "onnx")


def quantized(files: ModelFiles) -> Any:
    import onnx

    return onnx.load_from_string(quantize("onnxruntime", files, FEEDS))


def test_convolutions_and_products_with_weights_are_quantized_and_nothing_else(
    tmp_path: Path,
) -> None:
    def forward(net: Any, image: Any) -> Any:
        functional = paddle_module().nn.functional
        tokens = functional.silu(net.norm(net.conv(image))).flatten(2).transpose([0, 2, 1])
        tokens = net.linear(tokens)
        attention = functional.softmax(tokens @ tokens.transpose([0, 2, 1]))
        return functional.sigmoid(attention @ tokens)

    graph = quantized(exported(tmp_path, forward)).graph
    maker = {name: node for node in graph.node for name in node.output}

    def is_restored(name: str) -> bool:
        return name in maker and maker[name].op_type == "DequantizeLinear"

    nodes = {
        node.op_type: [n for n in graph.node if n.op_type == node.op_type] for node in graph.node
    }
    (conv,) = nodes["Conv"]
    assert is_restored(conv.input[0])
    assert is_restored(conv.input[1])
    # The batch norm is in the convolution's weights.
    assert "BatchNormalization" not in nodes
    with_weights = [node for node in nodes["MatMul"] if is_restored(node.input[1])]
    assert len(nodes["MatMul"]) == 3
    assert len(with_weights) == 1
    for node in nodes["MatMul"]:
        if node not in with_weights:
            assert not any(map(is_restored, node.input))
    (weights,) = nodes["Softmax"]
    assert weights.input[0] in nodes["MatMul"][1].output
    scales = {tensor.name: tensor for tensor in graph.initializer}
    assert list(scales[maker[conv.input[1]].input[1]].dims) == [6]


def test_a_program_without_weights_to_quantise_is_refused(tmp_path: Path) -> None:
    files = exported(
        tmp_path, lambda net, image: net.norm(paddle_module().tile(image, [1, 2, 1, 1]))
    )
    with pytest.raises(BackendError, match="no Conv or MatMul or Gemm with weights"):
        quantized(files)


def test_only_the_cpu_has_a_quantizer_and_only_with_its_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "onnxruntime" in str(quantizer(Device("cpu")))
    assert quantizer(Device("gpu")) is None
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert quantizer(Device("cpu")) is None
