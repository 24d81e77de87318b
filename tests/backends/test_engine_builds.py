# SPDX-License-Identifier: Apache-2.0
"""What is decided without a GPU about engines that are built for one."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpip.backends.base import Feeds, SessionOptions
from hpip.backends.engine_builds import (
    ShapeRange,
    build_key,
    built_folder,
    onnx_with_weights,
    shape_ranges,
)
from hpip.backends.paddle_tensorrt import _together
from hpip.backends.registry import backend_named
from hpip.common.cache import Cache
from hpip.common.devices import Device
from hpip.errors import BackendError, BackendUnavailableError
from hpip.inference.execution.preprocess import example_inputs, network_size_range
from hpip.inference.execution.program_formats import artifact
from hpip.inference.execution.runner import segment_examples
from hpip.types import (
    ModelFiles,
    NormalizeStep,
    PadStrideStep,
    PermuteStep,
    PreprocessPlan,
    ResizeStep,
    Segment,
)
from tests.graph.programs import two_branch_net

GPU = SessionOptions(Device("gpu", 0), threads=1)
KEEP_RATIO = PreprocessPlan(
    (ResizeStep((800, 1333), True, "linear"), PermuteStep(), PadStrideStep(32))
)
FIXED = PreprocessPlan(
    (NormalizeStep(1 / 255, (0, 0, 0), (1, 1, 1)), ResizeStep((640, 480), False, "cubic"))
)


def feeds(*sizes_hw: tuple[int, int]) -> tuple[Feeds, Feeds, Feeds]:
    smallest, usual, largest = (example_inputs(size_hw) for size_hw in sizes_hw)
    return smallest, usual, largest


def model(folder: Path) -> ModelFiles:
    files = ModelFiles(folder / "inference.json", folder / "inference.pdiparams")
    files.program.write_text("{}")
    files.params.write_bytes(b"weights")
    return files


@given(st.integers(1, 20000), st.integers(1, 20000))
def test_no_picture_leaves_the_size_range(height, width):
    smallest, usual, largest = network_size_range(KEEP_RATIO)
    size = KEEP_RATIO.network_hw((height, width))
    for low, middle, high, side in zip(smallest, usual, largest, size, strict=True):
        assert low <= side <= high
        assert low <= middle <= high


def test_a_fixed_input_has_one_size():
    assert network_size_range(FIXED) == ((640, 480),) * 3


def test_ranges_are_the_shapes_of_the_examples():
    options = replace(GPU, examples=feeds((32, 32), (768, 1344), (1344, 1344)))
    ranges = shape_ranges("tensorrt", options)
    assert ranges["image"] == ShapeRange((1, 3, 32, 32), (1, 3, 768, 1344), (1, 3, 1344, 1344))
    assert ranges["im_shape"] == ShapeRange((1, 2), (1, 2), (1, 2))


def test_examples_out_of_order_are_refused():
    with pytest.raises(BackendError, match="input image: expected shapes from small to large"):
        shape_ranges("tensorrt", replace(GPU, examples=feeds((64, 64), (32, 96), (128, 128))))
    with pytest.raises(BackendError, match=r"expected options\.examples"):
        shape_ranges("tensorrt", GPU)


def test_a_plans_first_segment_is_told_its_shapes_and_later_ones_are_not(tmp_path):
    examples = feeds((32, 32), (64, 64), (96, 96))
    files = model(tmp_path)
    trunk = Segment("trunk", files, ("image", "im_shape"), ("features",))
    found = segment_examples(trunk, examples)
    assert found is not None
    assert [set(one) for one in found] == [{"image", "im_shape"}] * 3
    assert [one["image"].shape[2] for one in found] == [32, 64, 96]
    assert segment_examples(Segment("head", files, ("features",), ("boxes",)), examples) is None
    assert segment_examples(trunk, None) is None


def test_the_key_of_a_build_tells_everything_apart(tmp_path):
    files = model(tmp_path)
    versions = {"tensorrt": "10.16"}
    options = replace(GPU, examples=feeds((32, 32), (64, 64), (96, 96)))
    keys = [
        build_key(files, options, versions, "H200 9.0"),
        build_key(files, options, versions, "A100 8.0"),
        build_key(files, options, {"tensorrt": "11.0"}, "H200 9.0"),
        build_key(files, replace(options, precision="fp16"), versions, "H200 9.0"),
        build_key(
            files,
            replace(options, examples=feeds((32, 32), (64, 64), (128, 96))),
            versions,
            "H200 9.0",
        ),
    ]
    assert build_key(files, options, versions, "H200 9.0") == keys[0]
    files.params.write_bytes(b"Weights")
    keys.append(build_key(files, options, versions, "H200 9.0"))
    assert len(set(keys)) == len(keys)


def test_builds_that_start_at_once_end_in_one_folder(tmp_path):
    gate = threading.Barrier(4)
    target = tmp_path / "engine"

    def build(partial: Path) -> None:
        gate.wait(timeout=30)
        (partial / "plan").write_text("done")

    def ask() -> None:
        built_folder(target, build, lambda folder: (folder / "plan").is_file())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in tmp_path.iterdir()] == ["engine"]
    assert (target / "plan").read_text() == "done"


def test_a_build_that_fails_leaves_nothing(tmp_path):
    def build(partial: Path) -> None:
        (partial / "half").write_text("")
        raise BackendError("tensorrt", "build", "no kernel")

    with pytest.raises(BackendError, match="no kernel"):
        built_folder(tmp_path / "engine", build, Path.is_dir)
    assert list(tmp_path.iterdir()) == []


def test_an_incomplete_folder_is_made_anew(tmp_path):
    target = tmp_path / "engine"
    target.mkdir()
    built_folder(
        target,
        lambda partial: (partial / "plan").touch(),
        lambda folder: (folder / "plan").is_file(),
    )
    assert (target / "plan").is_file()


@pytest.mark.parametrize("name", ["paddle_tensorrt", "tensorrt"])
class TestWithoutAGpu:
    def test_the_probe_says_why_not(self, name):
        probe = backend_named(name).probe()
        if probe.version is not None:
            pytest.skip(f"{name} {probe.version} is here")
        assert probe.reason
        assert probe.devices == ()

    def test_open_refuses_the_cpu_and_other_precisions(self, name, tmp_path):
        backend = backend_named(name)
        with pytest.raises(BackendUnavailableError, match="NVIDIA GPUs only, not on cpu"):
            backend.open(model(tmp_path), SessionOptions(Device("cpu"), 1))
        with pytest.raises(BackendUnavailableError, match="fp32, fp16 on gpu, not int8"):
            backend.open(model(tmp_path), replace(GPU, precision="int8"))

    def test_open_says_what_is_missing(self, name, tmp_path):
        backend = backend_named(name)
        probe = backend.probe()
        if probe.version is not None:
            pytest.skip(f"{name} {probe.version} is here")
        with pytest.raises(BackendUnavailableError) as refusal:
            backend.open(
                model(tmp_path), replace(GPU, examples=feeds((32, 32), (64, 64), (96, 96)))
            )
        assert probe.reason in str(refusal.value)


def test_feeds_have_the_size_that_they_tell():
    found = example_inputs((96, 160))
    assert found["image"].shape == (1, 3, 96, 160)
    assert np.array_equal(found["im_shape"], np.array([[96, 160]], np.float32))
    several = example_inputs((96, 160), 3)
    assert several["image"].shape == (3, 3, 96, 160)
    assert np.array_equal(several["im_shape"], np.array([[96, 160]] * 3, np.float32))
    assert several["scale_factor"].shape == (3, 2)


class TestOnnxWithWeights:
    @pytest.fixture
    def onnx_files(self, tmp_path: Path) -> ModelFiles:
        for package in ("onnx", "onnxruntime"):
            pytest.importorskip(package, reason=f"{package} is not installed")
        folder = two_branch_net(tmp_path)
        files = ModelFiles(folder / "inference.json", folder / "inference.pdiparams")
        return artifact(files, "onnx", cache=Cache(tmp_path / "cache"))

    def answers(self, program: bytes) -> list[np.ndarray]:
        import onnxruntime

        session = onnxruntime.InferenceSession(program, providers=["CPUExecutionProvider"])
        image = np.random.default_rng(0).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
        return session.run(None, {"image": image})

    def test_weights_are_found_beside_the_model(self, onnx_files):
        assert onnx_files.program.parent != onnx_files.params.parent
        session = backend_named("onnxruntime").open(
            onnx_files, SessionOptions(Device("cpu"), threads=1)
        )
        image = np.random.default_rng(0).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
        wanted = session.run({"image": image})
        session.close()
        found = self.answers(onnx_with_weights("tensorrt", onnx_files, half=False))
        for mine, theirs in zip(found, wanted, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)

    def test_half_precision_is_valid_and_near(self, onnx_files):
        import onnx

        whole = onnx_with_weights("tensorrt", onnx_files, half=False)
        half = onnx_with_weights("tensorrt", onnx_files, half=True)
        model = onnx.load_from_string(half)
        onnx.checker.check_model(model, full_check=True)
        kinds = {tensor.data_type for tensor in model.graph.initializer}
        assert onnx.TensorProto.FLOAT16 in kinds
        for mine, theirs in zip(self.answers(half), self.answers(whole), strict=True):
            assert mine.dtype == theirs.dtype
            np.testing.assert_allclose(mine, theirs, rtol=1e-2, atol=1e-2)

    def test_a_damaged_program_and_missing_weights_are_errors(self, onnx_files, tmp_path):
        bad = tmp_path / "bad.onnx"
        bad.write_bytes(onnx_files.program.read_bytes()[:-40])
        with pytest.raises(BackendError, match=r"failed to open: .*bad\.onnx"):
            onnx_with_weights("tensorrt", ModelFiles(bad, onnx_files.params), half=False)
        lost = ModelFiles(onnx_files.program, tmp_path / "nowhere" / "inference.pdiparams")
        with pytest.raises(BackendError, match="failed to open"):
            onnx_with_weights("tensorrt", lost, half=False)


@pytest.mark.parametrize("suffix", [".json", ".pdmodel"])
def test_paddles_converter_finds_program_and_weights_side_by_side(tmp_path, suffix):
    program, params = tmp_path / f"net{suffix}", tmp_path / "elsewhere.pdiparams"
    program.write_text("program")
    params.write_text("weights")
    prefix = _together(ModelFiles(program, params), tmp_path)
    assert Path(f"{prefix}{suffix}").read_text() == "program"
    assert Path(f"{prefix}.pdiparams").read_text() == "weights"
