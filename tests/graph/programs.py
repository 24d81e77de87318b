# SPDX-License-Identifier: Apache-2.0
"""Small programs that the tests build and export with Paddle, and a way to run them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def paddle_module() -> Any:
    paddle = pytest.importorskip("paddle", reason="the graph tests export programs with Paddle")
    _own_block_arguments(paddle.base.libpaddle.pir.Block)
    return paddle


@functools.cache
def _own_block_arguments(block: Any) -> None:
    """Let Paddle's exporter survive loops; Paddle 3.2.2 ends the process at some of them.

    Its `Block.args` gives out references into a list that is gone when it returns. While one of
    them lives, pybind11 takes it for the next value that happens to lie at the same address, whose
    memory goes as well. Copies own what they show. Can go with a Paddle that returns values.
    """
    references = block.args
    block.args = lambda self: [reference._clone() for reference in references(self)]


def save_static(folder: Path, build: Callable[[Any], tuple[list[Any], list[Any]]]) -> Path:
    """Build a static program with `build(paddle) -> (inputs, outputs)` and export it."""
    paddle = paddle_module()
    paddle.enable_static()
    try:
        main, startup = paddle.static.Program(), paddle.static.Program()
        with paddle.static.program_guard(main, startup):
            inputs, outputs = build(paddle)
            executor = paddle.static.Executor(paddle.CPUPlace())
            executor.run(startup)
            paddle.static.save_inference_model(
                str(folder / "inference"), inputs, outputs, executor, program=main
            )
    finally:
        paddle.disable_static()
    return folder


def save_layer(folder: Path, layer: Any, **inputs: tuple[list[int | None], str]) -> Path:
    """Export a layer whose `forward` takes `inputs` (name=(shape, dtype))."""
    paddle = paddle_module()
    layer.eval()
    specs = [paddle.static.InputSpec(shape, dtype, name) for name, (shape, dtype) in inputs.items()]
    with warnings.catch_warnings():
        # Paddle warns about its own spellings of operators while it traces.
        warnings.simplefilter("ignore")
        paddle.jit.save(layer, str(folder / "inference"), input_spec=specs)
    return folder


def two_branch_net(folder: Path) -> Path:
    """A convolution whose result goes through an `if` (output 0) and straight out (output 1)."""
    paddle = paddle_module()

    class Net(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = paddle.nn.Conv2D(3, 4, 3)

        def forward(self, image: Any) -> Any:
            features = self.conv(image)
            out = features * 2 if features.sum() > 0 else features - 1
            return out, features

    paddle.seed(0)
    return save_layer(folder, Net(), image=([None, 3, 8, 8], "float32"))


def run(
    program: Path, parameters: Path | None, inputs: Mapping[str, Any]
) -> list[np.ndarray[Any, Any]]:
    """What Paddle Inference, without any fusion, makes of the inputs."""
    paddle_module()
    from paddle import inference

    config = inference.Config(str(program), str(parameters or ""))
    config.disable_gpu()
    config.disable_mkldnn()
    config.enable_new_ir(True)
    config.enable_new_executor(True)
    config.set_optimization_level(0)
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(1)
    predictor = inference.create_predictor(config)
    for name in predictor.get_input_names():
        predictor.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(inputs[name]))
    predictor.run()
    return [
        predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()
    ]
