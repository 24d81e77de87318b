# SPDX-License-Identifier: Apache-2.0
"""OpenVINO's compiled models between starts."""

from __future__ import annotations

import hashlib
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="writes the network")
pytest.importorskip("openvino", reason="the engine under test")

from hpip.backends import openvino as backend_module
from hpip.backends.base import SessionOptions
from hpip.backends.openvino import OpenVinoBackend
from hpip.common.cache import Cache
from hpip.common.devices import Device
from hpip.types import ModelFiles

X = np.linspace(-1, 1, 3 * 16 * 16, dtype=np.float32).reshape(1, 3, 16, 16)


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    """A convolution, a normalization and a sigmoid."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = rng.standard_normal((8, 3, 3, 3)).astype(np.float32)
    ones = np.ones(8, np.float32)
    arrays = {"w": weights, "scale": ones, "shift": ones / 3}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("InstanceNormalization", ["c", "scale", "shift"], ["n"]),
            helper.make_node("Sigmoid", ["n"], ["y"]),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    program, params = tmp_path / "small.onnx", tmp_path / "small.pdiparams"
    program.write_bytes(model.SerializeToString())
    params.write_bytes(b"")
    return ModelFiles(program, params)


@pytest.fixture
def options(tmp_path: Path) -> SessionOptions:
    return SessionOptions(Device("cpu"), 2, build_dir=tmp_path / "engines")


def answer(files: ModelFiles, options: SessionOptions) -> np.ndarray:
    session = OpenVinoBackend().open(files, options)
    try:
        (y,) = session.run({"x": X})
    finally:
        session.close()
    return y


def blobs(options: SessionOptions) -> list[Path]:
    assert options.build_dir is not None
    return sorted(options.build_dir.glob("openvino-*/model.blob"))


def test_a_second_start_compiles_nothing(
    files: ModelFiles, options: SessionOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = replace(options, threads=1)
    compiled, compiled_alone = (
        answer(files, replace(one, build_dir=None)) for one in (options, alone)
    )
    assert blobs(options) == []
    np.testing.assert_array_equal(answer(files, options), compiled)
    assert len(blobs(options)) == 1

    def refuse(*_arguments: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(backend_module, "_compile", refuse)
    np.testing.assert_array_equal(answer(files, options), compiled)
    np.testing.assert_array_equal(answer(files, alone), compiled_alone)


def test_what_is_compiled_otherwise_is_kept_apart(
    files: ModelFiles, options: SessionOptions
) -> None:
    import onnx

    answer(files, options)
    answer(files, replace(options, settings={"performance_hint": "throughput"}))
    assert len(blobs(options)) == 2
    model = onnx.load(str(files.program))
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[::-1]
    other = files.program.with_name("other.onnx")
    onnx.save(model, str(other))
    answer(replace(files, program=other), options)
    assert len(blobs(options)) == 3


@pytest.mark.parametrize("damage", [b"", b"not a model"])
def test_a_damaged_one_is_made_anew(
    files: ModelFiles, options: SessionOptions, damage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answer(files, options)
    (blob,) = blobs(options)
    whole = blob.read_bytes()
    damaged = damage + whole[: len(whole) // 2]
    blob.write_bytes(damaged)
    np.testing.assert_array_equal(answer(files, options), expected)
    # Not of equal size: OpenVINO numbers names in it through the whole process.
    made = blob.read_bytes()
    assert made != damaged
    assert hashlib.sha256(made).hexdigest() == blob.with_suffix(".sha256").read_text()

    def refuse(*_arguments: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(backend_module, "_compile", refuse)
    np.testing.assert_array_equal(answer(files, options), expected)


def test_one_that_openvino_refuses_costs_time_only(
    files: ModelFiles, options: SessionOptions, caplog: pytest.LogCaptureFixture
) -> None:
    expected = answer(files, options)
    (blob,) = blobs(options)
    blob.write_bytes(b"of another build")
    digest = hashlib.sha256(b"of another build").hexdigest()
    blob.with_suffix(".sha256").write_text(digest)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(answer(files, options), expected)
    assert "so the model is compiled again" in caplog.text


def test_where_nothing_can_be_written_it_is_compiled(
    files: ModelFiles, options: SessionOptions, caplog: pytest.LogCaptureFixture
) -> None:
    expected = answer(files, options)
    assert options.build_dir is not None
    shutil.rmtree(options.build_dir)
    options.build_dir.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(answer(files, options), expected)
    assert "can't store" in caplog.text


def test_the_cache_lists_and_clears_them(files: ModelFiles, options: SessionOptions) -> None:
    answer(files, options)
    assert options.build_dir is not None
    cache = Cache(options.build_dir.parent)
    (entry,) = cache.entries()
    assert (entry.title, entry.folder) == ("built by an engine", blobs(options)[0].parent)
    assert entry.size_bytes > blobs(options)[0].stat().st_size
    assert cache.clear() == entry.size_bytes
    assert blobs(options) == []
