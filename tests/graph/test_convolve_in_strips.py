# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpip
from hpip.backends.base import SessionOptions
from hpip.backends.paddle import PaddleBackend
from hpip.backends.paddle_onednn import PaddleOneDnnBackend
from hpip.devices import Device
from hpip.errors import BackendError
from hpip.graph.cache import Cache
from hpip.graph.compile import compile_model
from hpip.graph.passes import convolve_in_strips
from hpip.graph.passes.convolve_in_strips import ConvolveInStripsPass
from hpip.graph.program import Program
from hpip.model import load_model_spec
from hpip.types import ModelFiles

from .programs import paddle_module, run, save_layer


@dataclass
class Case:
    """One convolution, of 3 channels to 4, and how many strips it takes at 1 kB for a matrix."""

    strips: int
    height: int | None = 17
    options: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(autouse=True)
def small_matrices_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolve_in_strips, "_MOST_BYTES", 4000)


def _export(folder: Path, case: Case) -> Path:
    paddle = paddle_module()

    class Net(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = paddle.nn.Conv2D(3, **{"out_channels": 4, "kernel_size": 3, **case.options})

        def forward(self, x: Any) -> Any:
            return paddle.nn.functional.relu(self.conv(x))

    paddle.seed(1)
    return save_layer(folder, Net(), x=([None, 3, case.height, 11], "float32"))


def _convolutions(program: Program) -> int:
    return sum(op.name == "pd_op.conv2d" for op in program.walk())


TAKEN = {
    # 3 * 3 * 3 * 17 * 11 * 4 bytes of a matrix.
    "same": Case(6, options={"padding": 1}),
    "no-border": Case(4),
    "strides": Case(2, options={"padding": 1, "stride": 2}),
    "two-strides": Case(3, options={"padding": 1, "stride": [1, 2]}),
    "other-borders": Case(6, options={"padding": [1, 2, 0, 3]}),
    "wide-kernel": Case(4, options={"kernel_size": [1, 7], "padding": [0, 3]}),
    "strided-1x1": Case(2, 120, options={"kernel_size": 1, "stride": 2}),
    "row-by-row": Case(3, 3, options={"kernel_size": [1, 9], "padding": [0, 20]}),
}


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("name", TAKEN)
def test_strips_give_what_the_whole_gives(name: str, images: int, tmp_path: Path) -> None:
    case = TAKEN[name]
    folder = _export(tmp_path, case)
    program = Program.read(folder / "inference.json")
    result = ConvolveInStripsPass()(program)
    assert (result.modified, result.reason) == (True, "1 convolution in strips of rows")
    assert _convolutions(program) == case.strips
    program.write(folder / "strips.json")
    x = np.random.default_rng(0).normal(size=(images, 3, case.height, 11)).astype(np.float32)
    (whole,), (strips,) = (
        run(folder / file, folder / "inference.pdiparams", {"x": x})
        for file in ("inference.json", "strips.json")
    )
    assert whole.any()
    # Kernels may round otherwise at the end of a strip.
    np.testing.assert_allclose(strips, whole, rtol=1e-5, atol=1e-6)


LEFT = {
    "open-height": Case(1, None, options={"padding": 1}),
    "1x1": Case(1, 600, options={"kernel_size": 1}),
    "small": Case(1, 5),
    "dilation": Case(1, options={"dilation": 2}),
    "groups": Case(1, options={"groups": 3, "out_channels": 6, "padding": 1}),
    "padding-by-name": Case(1, options={"padding": "SAME"}),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_does_not_fit_stays(name: str, tmp_path: Path) -> None:
    folder = _export(tmp_path, LEFT[name])
    before = (folder / "inference.json").read_text()
    program = Program.read(folder / "inference.json")
    result = ConvolveInStripsPass()(program)
    assert not result.modified
    assert "no convolution of known size" in result.reason
    assert program.to_json() == Program.read(folder / "inference.json").to_json()
    assert (folder / "inference.json").read_text() == before


def test_strips_are_small_enough_to_stay(tmp_path: Path) -> None:
    folder = _export(tmp_path, TAKEN["same"])
    program = Program.read(folder / "inference.json")
    assert ConvolveInStripsPass()(program).modified
    assert not ConvolveInStripsPass()(program).modified


def test_plain_paddle_on_the_cpu_takes_the_program_for_it_and_others_do_not(
    tmp_path: Path,
) -> None:
    folder = _export(tmp_path, TAKEN["same"])
    params, gone = folder / "inference.pdiparams", folder / "gone.json"
    files = ModelFiles(gone, params, unfolding=folder / "inference.json")
    options = SessionOptions(Device("cpu"), 1)
    session = PaddleBackend().open(files, options)
    (found,) = session.run({"x": np.ones((1, 3, 17, 11), np.float32)})
    session.close()
    assert found.shape == (1, 4, 17, 11)
    with pytest.raises(BackendError, match=r"gone\.json"):
        PaddleOneDnnBackend().open(files, options)


def test_a_compiled_model_brings_both_programs(tmp_path: Path) -> None:
    paddle_module()
    demo = load_model_spec(Path(hpip.__file__).parent / "demo").files
    cache = Cache(tmp_path)
    (segment, *_) = compile_model(demo, cache=cache).segments
    assert segment.files.unfolding is not None
    whole, strips = map(Program.read, (segment.files.program, segment.files.unfolding))
    assert _convolutions(strips) > _convolutions(whole)
    assert list(strips.parameters) == list(whole.parameters)
    (exact, *_) = compile_model(demo, cache=cache, exact=True).segments
    assert exact.files.unfolding is None
