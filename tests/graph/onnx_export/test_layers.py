# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpip.errors import GraphRewriteError
from hpip.graph.builder import boolean
from hpip.graph.params import ParameterFile
from hpip.graph.program import Program
from hpip.types import ModelFiles
from tests.graph.onnx_export.exporting import assert_same, export, numbers, run_onnx, save
from tests.graph.programs import paddle_module

LAYERS: dict[str, Callable[[Any], Any]] = {
    "conv": lambda p: p.nn.Conv2D(4, 6, 3, padding=1),
    "conv, strides": lambda p: p.nn.Conv2D(4, 6, 3, stride=2, padding=[0, 1]),
    "conv, same": lambda p: p.nn.Conv2D(4, 6, 2, padding="SAME"),
    "conv, same by strides": lambda p: p.nn.Conv2D(4, 6, 3, stride=2, padding="SAME"),
    "conv, valid": lambda p: p.nn.Conv2D(4, 6, 3, padding="VALID"),
    "conv, dilated": lambda p: p.nn.Conv2D(4, 6, 3, dilation=2),
    "conv, groups": lambda p: p.nn.Conv2D(4, 6, 3, groups=2),
    "conv, depthwise": lambda p: p.nn.Conv2D(4, 4, 3, groups=4, padding=1),
    "conv, uneven padding": lambda p: p.nn.Conv2D(4, 6, 3, padding=[0, 1, 2, 0]),
    "conv, transposed": lambda p: p.nn.Conv2DTranspose(4, 3, 2, stride=2),
    "conv, transposed and padded": lambda p: p.nn.Conv2DTranspose(
        4, 3, 3, stride=2, padding=1, output_padding=1
    ),
    "group norm": lambda p: p.nn.GroupNorm(2, 4),
    "group norm without weights": lambda p: p.nn.GroupNorm(
        2, 4, weight_attr=False, bias_attr=False
    ),
    "instance norm": lambda p: p.nn.InstanceNorm2D(4),
    "instance norm without weights": lambda p: p.nn.InstanceNorm2D(
        4, weight_attr=False, bias_attr=False
    ),
    "batch norm": lambda p: p.nn.BatchNorm2D(4),
    "dropout": lambda p: p.nn.Dropout(0.5),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_on_images(name: str, tmp_path: Path) -> None:
    files = save(tmp_path, _network(LAYERS[name]), x=([None, 4, None, None], "float32"))
    assert_same(files, tmp_path, {"x": numbers(2, 4, 10, 12)}, {"x": numbers(1, 4, 13, 9, seed=1)})


def test_layer_norm_and_attention(tmp_path: Path) -> None:
    def build(p: Any) -> Any:
        return p.nn.TransformerEncoderLayer(
            16, 4, 32, dropout=0.0, activation="gelu", normalize_before=False
        )

    files = save(tmp_path, _network(build), x=([None, 9, 16], "float32"))
    assert_same(files, tmp_path, {"x": numbers(2, 9, 16)}, {"x": numbers(1, 9, 16, seed=1)})


def test_a_batch_norm_of_input_statistics_takes_them_over_all_images(tmp_path: Path) -> None:
    files = _by_input(save(tmp_path, _network(_convolved_norm), x=([None, 4, 8, 8], "float32")))
    assert_same(files, tmp_path, {"x": numbers(2, 4, 8, 8)})


def test_a_branch_that_no_pass_removes(tmp_path: Path) -> None:
    files = export(
        tmp_path,
        lambda p, x: p.static.nn.cond(x.sum() > 0, lambda: x * 2, lambda: x.sum(0, keepdim=True)),
        [None, 3],
        "float32",
    )
    x = np.abs(numbers(4, 3))
    assert_same(files, tmp_path, {"x": x}, {"x": -x})


def test_weights_are_not_copied_into_the_model(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    files = save(
        tmp_path, _network(lambda p: p.nn.Conv2D(4, 64, 7)), x=([None, 4, 8, 8], "float32")
    )
    from hpip.graph.onnx_export import export_onnx

    program = Program.read(files.program)
    model = export_onnx(program, ParameterFile(files.params, program))
    assert len(model.SerializeToString()) < 4000 < files.params.stat().st_size
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)


def test_all_operators_without_a_translation_are_named(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    files = export(
        tmp_path, lambda p, x: (p.digamma(x), p.lgamma(x), p.digamma(x + 1)), [4], "float32"
    )
    with pytest.raises(GraphRewriteError, match=r"digamma \(2\), lgamma \(1\)"):
        run_onnx(files, {"x": numbers(4)}, tmp_path)


def test_an_attribute_without_a_translation_names_the_operation(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    files = export(
        tmp_path,
        lambda p, x: p.nn.functional.adaptive_avg_pool2d(x, 3),
        [None, 4, 8, 8],
        "float32",
    )
    with pytest.raises(GraphRewriteError, match=r"adaptive pooling to \[3, 3\] \(at pool2d"):
        run_onnx(files, {"x": numbers(1, 4, 8, 8)}, tmp_path)


def _network(build: Callable[[Any], Any]) -> Any:
    """The layer with random numbers for all weights, so that an order mixed up shows."""
    paddle = paddle_module()

    class Net(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = build(paddle)
            self.bias = self.create_parameter([1])

        def forward(self, x: Any) -> Any:
            return self.inner(x) + self.bias

    network = Net()
    rng = np.random.default_rng(3)
    for name, weight in network.state_dict().items():
        spread = rng.normal(0, 0.5, weight.shape).astype(np.float32)
        weight.set_value(np.abs(spread) + 0.3 if "variance" in name else spread)
    return network


def _convolved_norm(paddle: Any) -> Any:
    return paddle.nn.Sequential(
        paddle.nn.Conv2D(4, 4, 3), paddle.nn.BatchNorm2D(4), paddle.nn.ReLU()
    )


def _by_input(files: ModelFiles) -> ModelFiles:
    """The program with batch norms that take their statistics from what they are fed."""
    program = Program.read(files.program)
    for op in program.walk():
        if op.name == "pd_op.batch_norm_":
            op.set_attribute("trainable_statistics", boolean(True))
            op.set_attribute("use_global_stats", boolean(False))
    program.write(files.program)
    return files
