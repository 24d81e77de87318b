# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpip.graph.batching import takes_batches
from hpip.graph.builder import boolean
from hpip.graph.passes.normalize_each_image import NormalizeEachImagePass
from hpip.graph.program import Program

from .programs import paddle_module, run, save_layer

Forward = Callable[[Any, Any], Any]


def _export(folder: Path, after: Forward | None = None, before: Forward | None = None) -> Path:
    """Convolution, batch norm of input statistics, and what comes before and after."""
    paddle = paddle_module()

    class Net(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = paddle.nn.Conv2D(3, 4, 3)
            self.norm = paddle.nn.BatchNorm2D(4)

        def forward(self, x: Any) -> Any:
            x = before(paddle, x) if before else x
            x = self.norm(self.conv(x))
            return after(paddle, x) if after else x

    paddle.seed(1)
    network = Net()
    rng = np.random.default_rng(0)
    for weight in network.state_dict().values():
        weight.set_value(rng.uniform(0.2, 1, weight.shape).astype(np.float32))
    save_layer(folder, network, x=([None, 3, 9, 11], "float32"))
    program = Program.read(folder / "inference.json")
    for op in program.walk():
        if op.name == "pd_op.batch_norm_":
            op.set_attribute("trainable_statistics", boolean(True))
            op.set_attribute("use_global_stats", boolean(False))
    program.write(folder / "inference.json")
    return folder


def _pictures(count: int) -> np.ndarray[Any, Any]:
    """Images of different brightness and contrast, which one mean for all would mix up."""
    rng = np.random.default_rng(0)
    spread = np.arange(1, count + 1, dtype=np.float32).reshape(-1, 1, 1, 1)
    return rng.normal(spread, spread, (count, 3, 9, 11)).astype(np.float32)


def _rewritten(folder: Path) -> Program:
    program = Program.read(folder / "inference.json")
    result = NormalizeEachImagePass()(program)
    assert result.modified, result.reason
    program.write(folder / "each.json")
    assert not NormalizeEachImagePass()(Program.read(folder / "each.json")).modified
    return program


AFTER: dict[str, Forward | None] = {
    "nothing": None,
    "activation": lambda p, x: p.nn.functional.silu(x),
    "tokens": lambda p, x: x.flatten(2).transpose([0, 2, 1]) @ p.ones([4, 2]),
}


@pytest.mark.parametrize("name", AFTER)
def test_each_image_of_a_batch_comes_out_as_it_does_alone(name: str, tmp_path: Path) -> None:
    folder = _export(tmp_path, AFTER[name])
    program = _rewritten(folder)
    assert not any(op.name == "pd_op.batch_norm_" for op in program.walk())
    assert takes_batches(program)
    assert not takes_batches(Program.read(folder / "inference.json"))
    x, params = _pictures(3), folder / "inference.pdiparams"
    alone = [run(folder / "inference.json", params, {"x": x[i : i + 1]})[0] for i in range(3)]
    (together,) = run(folder / "each.json", params, {"x": x})
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-5, atol=1e-5)
    (mixed,) = run(folder / "inference.json", params, {"x": x})
    assert np.abs(mixed - together).max() > 0.01


BEFORE: dict[str, Forward] = {
    "scaled": lambda p, x: x * 2 + 1,
    "padded by a concat": lambda p, x: p.concat([x[:, 1:], x[:, :1]], axis=1),
    "through tokens": lambda p, x: (
        p.nn.functional.layer_norm(x.flatten(2).transpose([0, 2, 1]), 3)
        .transpose([0, 2, 1])
        .reshape([-1, 3, 9, 11])
    ),
    "weighted by its mean": lambda p, x: x * p.nn.functional.sigmoid(x.mean([2, 3], keepdim=True)),
}


@pytest.mark.parametrize("name", BEFORE)
def test_what_keeps_images_apart_is_seen_through(name: str, tmp_path: Path) -> None:
    folder = _export(tmp_path, before=BEFORE[name])
    _rewritten(folder)
    x, params = _pictures(1), folder / "inference.pdiparams"
    before, after = (run(folder / f"{n}.json", params, {"x": x})[0] for n in ("inference", "each"))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


MIXING: dict[str, Forward] = {
    "gathered rows": lambda p, x: p.gather(x, p.to_tensor([0, 0])),
    "images joined": lambda p, x: p.concat([x, x], axis=0),
    "images summed": lambda p, x: x + x.sum(0, keepdim=True),
    "an image in tiles": lambda p, x: x.reshape([-1, 3, 3, 11]),
    "first axis moved": lambda p, x: x.transpose([1, 0, 2, 3]).reshape([-1, 3, 9, 11]),
    "an image picked": lambda p, x: x[:1] * 2,
}


@pytest.mark.parametrize("name", MIXING)
def test_rows_that_are_no_images_are_left_alone(name: str, tmp_path: Path) -> None:
    program = Program.read(_export(tmp_path, before=MIXING[name]) / "inference.json")
    before = program.to_bytes()
    result = NormalizeEachImagePass()(program)
    assert not result.modified
    assert program.to_bytes() == before


def test_a_program_that_picks_the_first_image_keeps_its_rounding(tmp_path: Path) -> None:
    folder = _export(tmp_path, after=lambda paddle, x: (x, x[0].sum(0)))
    program = Program.read(folder / "inference.json")
    before = program.to_bytes()
    result = NormalizeEachImagePass()(program)
    assert not result.modified
    assert "one image" in result.reason
    assert program.to_bytes() == before


def test_stored_statistics_are_left_alone(tmp_path: Path) -> None:
    folder = _export(tmp_path)
    program = Program.read(folder / "inference.json")
    for op in program.walk():
        if op.name == "pd_op.batch_norm_":
            op.set_attribute("use_global_stats", boolean(True))
    assert not NormalizeEachImagePass()(program).modified
