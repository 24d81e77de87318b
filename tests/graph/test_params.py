# SPDX-License-Identifier: Apache-2.0
"""Combined parameter files: read by name, written so that Paddle reads them, damage refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpip.errors import ModelFormatError
from hpip.graph.params import ParameterFile, write_parameters
from hpip.graph.program import Program

from .programs import paddle_module, run, save_layer, two_branch_net


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    return two_branch_net(tmp_path)


def test_arrays_are_what_paddle_saved(exported: Path) -> None:
    paddle = paddle_module()
    paddle.seed(0)
    reference = paddle.nn.Conv2D(3, 4, 3)
    weights = ParameterFile(
        exported / "inference.pdiparams", Program.read(exported / "inference.json")
    )
    by_shape = {weights.array(name).shape: weights.array(name) for name in weights}
    np.testing.assert_array_equal(by_shape[4, 3, 3, 3], reference.weight.numpy())
    np.testing.assert_array_equal(by_shape[4,], reference.bias.numpy())
    assert not by_shape[4,].flags.writeable


def test_writing_back_gives_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    source = exported / "inference.pdiparams"
    weights = ParameterFile(source, Program.read(exported / "inference.json"))
    copy = tmp_path / "copy.pdiparams"
    write_parameters(copy, {name: weights.array(name) for name in weights})
    assert copy.read_bytes() == source.read_bytes()


def test_paddle_reads_changed_parameters(exported: Path, tmp_path: Path) -> None:
    program = Program.read(exported / "inference.json")
    weights = ParameterFile(exported / "inference.pdiparams", program)
    changed = tmp_path / "changed.pdiparams"
    write_parameters(changed, {name: np.zeros_like(weights.array(name)) for name in weights})
    image = np.ones((1, 3, 8, 8), np.float32)
    for output in run(exported / "inference.json", changed, {"image": image})[1:]:
        np.testing.assert_array_equal(output, 0)


def test_scalars_and_other_types_survive(tmp_path: Path) -> None:
    paddle = paddle_module()

    class Net(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("whole", paddle.full([3], 7, "int64"))
            self.register_buffer("flag", paddle.full([2, 1], 1, "bool"))
            self.register_buffer("scalar", paddle.to_tensor(2.0))

        def forward(self, x: Any) -> Any:
            counted = self.whole.astype("float32").sum() + self.flag.astype("float32").sum()
            return x * self.scalar + counted

    folder = save_layer(tmp_path, Net(), x=([1], "float32"))
    weights = ParameterFile(folder / "inference.pdiparams", Program.read(folder / "inference.json"))
    assert {str(weights.array(name).dtype) for name in weights} == {"int64", "bool", "float32"}
    copy = tmp_path / "copy.pdiparams"
    write_parameters(copy, {name: weights.array(name) for name in weights})
    assert copy.read_bytes() == (folder / "inference.pdiparams").read_bytes()


def test_every_truncation_is_refused(exported: Path, tmp_path: Path) -> None:
    program = Program.read(exported / "inference.json")
    content = (exported / "inference.pdiparams").read_bytes()
    path = tmp_path / "cut.pdiparams"
    for length in [*range(80), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ModelFormatError):
            ParameterFile(path, program)


def test_a_file_of_another_program_is_refused(exported: Path, tmp_path: Path) -> None:
    program = Program.read(exported / "inference.json")
    weights = ParameterFile(exported / "inference.pdiparams", program)
    arrays = {name: weights.array(name) for name in weights}
    path = tmp_path / "other.pdiparams"

    write_parameters(path, {**arrays, "zzz": np.zeros(3, np.float32)})
    with pytest.raises(ModelFormatError, match="belongs to another exported model"):
        ParameterFile(path, program)

    first = min(arrays)
    write_parameters(path, {**arrays, first: arrays[first][..., :1]})
    with pytest.raises(ModelFormatError, match="the program expects"):
        ParameterFile(path, program)


def test_missing_file_and_damaged_header_are_refused(exported: Path, tmp_path: Path) -> None:
    program = Program.read(exported / "inference.json")
    with pytest.raises(ModelFormatError, match="cannot read"):
        ParameterFile(tmp_path / "nothing.pdiparams", program)
    content = bytearray((exported / "inference.pdiparams").read_bytes())
    content[0] = 7
    path = tmp_path / "damaged.pdiparams"
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match="no tensor header"):
        ParameterFile(path, program)


def test_an_unwritable_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="complex"):
        write_parameters(tmp_path / "p", {"a": np.zeros(1, np.complex64)})
