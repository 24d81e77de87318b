# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator

import pytest

from hpip.backends.cuda_libraries import TENSORRT_PROVIDER, missing_library
from hpip.backends.registry import backend_named, backend_names
from hpip.common.devices import Device
from hpip.inference.execution.runner import Engine

GPU = Device("gpu", 0)
GPU_ONLY = ("paddle_tensorrt", "tensorrt")
CPU_ONLY = ("paddle_onednn", "openvino")


def engines() -> Iterator[object]:
    """Every backend on the devices that it is made for, as parameters for fixtures."""
    for name in backend_names():
        if name not in GPU_ONLY:
            yield pytest.param(Engine(name, Device("cpu"), threads=2), id=f"{name}-cpu")
        if name not in CPU_ONLY:
            engine = Engine(name, GPU, threads=2)
            yield pytest.param(engine, id=f"{name}-gpu", marks=pytest.mark.gpu)
    tensorrt = Engine("onnxruntime", GPU, threads=2, settings={"provider": "tensorrt"})
    yield pytest.param(tensorrt, id="onnxruntime-tensorrt-gpu", marks=pytest.mark.gpu)


def skip_where_absent(engine: Engine) -> None:
    """Skip the test, with the reason, if the engine or its device is not available."""
    probe = backend_named(engine.backend).probe()
    if probe.version is None:
        pytest.skip(f"{engine.backend}: {probe.reason}")
    if str(engine.device) not in probe.devices:
        has = ", ".join(probe.devices)
        pytest.skip(f"{engine.backend} {probe.version} has {has} here, not {engine.device}")
    if engine.settings.get("provider") == "tensorrt":
        library = missing_library(TENSORRT_PROVIDER)
        if library:
            pytest.skip(
                f"{engine.backend}: {TENSORRT_PROVIDER} needs {library}, which is not installed"
            )
