# SPDX-License-Identifier: Apache-2.0
"""What is decided without a device: providers, their options, and what is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpip import _core
from hpip.backends.base import SessionOptions
from hpip.backends.cuda_libraries import _load_from_wheels, advice, library_of
from hpip.backends.onnxruntime import (
    OnnxRuntimeBackend,
    cuda_options,
    provider_list,
    session_config,
    tensorrt_options,
    with_own_build_dir,
)
from hpip.common.devices import Device
from hpip.errors import BackendUnavailableError, InvalidInputError
from hpip.types import ModelFiles

GPU = Device("gpu", 1)


def _feeds(batch: int, side: int) -> dict[str, np.ndarray]:
    return {
        "image": np.zeros((batch, 3, side, side), np.float32),
        "scale_factor": np.zeros((batch, 2), np.float32),
    }


def test_the_cpu_has_one_provider() -> None:
    assert provider_list(SessionOptions(Device("cpu"), 2)) == [("CPUExecutionProvider", {})]


def test_a_gpu_falls_back_for_operators_only() -> None:
    names = [name for name, _ in provider_list(SessionOptions(GPU, 2))]
    assert names == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    with_tensorrt = SessionOptions(GPU, 2, settings={"provider": "tensorrt"})
    names = [name for name, _ in provider_list(with_tensorrt)]
    assert names[0] == "TensorrtExecutionProvider"
    assert names[1:] == ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("device", "provider"), [(GPU, "dml"), (Device("cpu"), "cuda"), (Device("cpu"), "tensorrt")]
)
def test_a_provider_that_does_not_fit_is_refused(device: Device, provider: str) -> None:
    with pytest.raises(InvalidInputError, match=f"cuda, tensorrt.*received '{provider}'"):
        provider_list(SessionOptions(device, 2, settings={"provider": provider}))


def test_other_devices_are_refused() -> None:
    with pytest.raises(BackendUnavailableError, match="npu:0"):
        provider_list(SessionOptions(Device("npu"), 2))


def test_cuda_runs_on_the_chosen_device_in_full_float32() -> None:
    found = cuda_options(3)
    assert found["device_id"] == "3"
    assert found["use_tf32"] == "0"


def test_tensorrt_gets_shapes_and_a_folder(tmp_path: Path) -> None:
    options = SessionOptions(
        GPU, 2, examples=(_feeds(1, 320), _feeds(2, 640), _feeds(4, 1280)), build_dir=tmp_path
    )
    found = tensorrt_options(options)
    assert found["device_id"] == "1"
    assert found["trt_fp16_enable"] == "0"
    assert found["trt_engine_cache_path"] == str(tmp_path)
    assert found["trt_profile_min_shapes"] == "image:1x3x320x320,scale_factor:1x2"
    assert found["trt_profile_opt_shapes"] == "image:2x3x640x640,scale_factor:2x2"
    assert found["trt_profile_max_shapes"] == "image:4x3x1280x1280,scale_factor:4x2"


def test_tensorrt_without_a_folder_keeps_nothing() -> None:
    found = tensorrt_options(SessionOptions(GPU, 2))
    assert not [name for name in found if "cache_path" in name or "profile" in name]


def test_two_trainings_of_a_model_never_share_an_engine(tmp_path: Path) -> None:
    options = SessionOptions(
        GPU, 2, settings={"provider": "tensorrt"}, build_dir=tmp_path / "engines"
    )
    folders = []
    for weights in (b"one", b"two", b"one"):
        files = ModelFiles(tmp_path / "model.onnx", tmp_path / "inference.pdiparams")
        files.program.write_bytes(b"graph")
        files.params.write_bytes(weights)
        folders.append(with_own_build_dir(files, options, "1.31.1").build_dir)
    assert folders[0] == folders[2] != folders[1]
    assert all(folder is not None and folder.is_dir() for folder in folders)
    cuda = SessionOptions(GPU, 2, build_dir=tmp_path / "nowhere")
    assert with_own_build_dir(ModelFiles(tmp_path, tmp_path), cuda, "1.31.1") == cuda


# What glibc's loader said about onnxruntime-gpu 1.31.1 without a driver, and two others like it.
@pytest.mark.parametrize(
    ("message", "library", "fix"),
    [
        (
            "libcuda.so.1: cannot open shared object file: No such file or directory",
            "libcuda.so.1",
            "driver",
        ),
        (
            "libcublasLt.so.13: cannot open shared object file: No such file",
            "libcublasLt.so.13",
            "hpip\\[gpu\\]",
        ),
        (
            "libnvinfer.so.10: cannot open shared object file: No such file",
            "libnvinfer.so.10",
            "TensorRT 10",
        ),
        ("libx.so: undefined symbol: Provider_GetHost", "", "nvidia-smi"),
    ],
)
def test_a_missing_library_is_named_with_what_to_do(message: str, library: str, fix: str) -> None:
    assert library_of(message) == library
    assert re.search(fix, advice(library))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_libraries_are_found_in_whatever_folder_the_wheels_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "nvidia" / "cu13" / "lib"
    folder.mkdir(parents=True)
    library = shutil.copy(_core.__file__, folder / "libtoy.so.13")
    (folder / "libbroken.so.13").write_bytes(b"no library")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("libabsent.so.13", "libbroken.so.13", "libtoy.so.13"):
        _load_from_wheels(name)
    assert str(library) in Path("/proc/self/maps").read_text()


def test_nothing_is_loaded_for_the_cpu() -> None:
    code = (
        "import sys; from hpip.backends.cuda_libraries import load_cuda_libraries\n"
        "load_cuda_libraries(['CPUExecutionProvider'])\n"
        "assert not {'onnxruntime', 'tensorrt', 'nvidia'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_waiting_threads_spin_only_where_the_cpu_is_theirs(tmp_path: Path) -> None:
    spinning = "session.intra_op.allow_spinning"
    assert dict(session_config(tmp_path, shares_cpu=True))[spinning] == "0"
    assert dict(session_config(tmp_path, shares_cpu=False))[spinning] == "1"


def test_a_build_without_the_provider_says_so(demo_files: ModelFiles) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this build of ONNX Runtime drives GPUs")
    with pytest.raises(BackendUnavailableError, match="has no CUDAExecutionProvider"):
        OnnxRuntimeBackend().open(demo_files, SessionOptions(GPU, 1))
