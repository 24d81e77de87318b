# SPDX-License-Identifier: Apache-2.0
"""Runs a small network in plain Paddle and, translated, in ONNX Runtime, and compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpip.backends.base import SessionOptions
from hpip.backends.registry import backend_named
from hpip.common.cache import Cache
from hpip.common.devices import Device
from hpip.inference.execution.program_formats import artifact
from hpip.types import ModelFiles
from tests.graph.programs import paddle_module, run, save_layer

Array = np.ndarray[Any, Any]
Forward = Callable[[Any, Any], Any]


def export(folder: Path, forward: Forward, shape: list[int | None], dtype: str) -> ModelFiles:
    """A network of one input `x`; `forward(paddle, x)` may return one tensor or several."""
    paddle = paddle_module()

    class Net(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            # A parameter file is expected, also of networks without weights.
            self.zero = self.create_parameter(
                [1], default_initializer=paddle.nn.initializer.Constant(0.0)
            )

        def forward(self, x: Any) -> Any:
            found = forward(paddle, x)
            return (*(found if isinstance(found, tuple) else (found,)), self.zero * 1)

    return save(folder, Net(), x=(shape, dtype))


def save(folder: Path, layer: Any, **inputs: tuple[list[int | None], str]) -> ModelFiles:
    save_layer(folder, layer, **inputs)
    return ModelFiles(folder / "inference.json", folder / "inference.pdiparams")


def run_onnx(files: ModelFiles, inputs: Mapping[str, Array], cache: Path) -> list[Array]:
    """What ONNX Runtime makes of the translated program."""
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    converted = artifact(files, "onnx", cache=Cache(cache))
    session = backend_named("onnxruntime").open(converted, SessionOptions(Device("cpu"), 1))
    try:
        return session.run({name: inputs[name] for name in session.input_names})
    finally:
        session.close()


def assert_same(files: ModelFiles, cache: Path, *feeds: Mapping[str, Array]) -> None:
    """Same types, shapes and, within float rounding, numbers for each of the feeds."""
    for inputs in feeds:
        wanted = run(files.program, files.params, inputs)
        found = run_onnx(files, inputs, cache)
        assert len(found) == len(wanted)
        for mine, theirs in zip(found, wanted, strict=True):
            assert mine.dtype == theirs.dtype
            assert mine.shape == theirs.shape
            np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=2e-5)


def numbers(*shape: int, dtype: str = "float32", seed: int = 0) -> Array:
    """Numbers of both signs; whole ones where the type is whole."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith("int"):
        return rng.integers(-20, 20, shape).astype(dtype)
    return rng.normal(0, 2, shape).astype(dtype)
