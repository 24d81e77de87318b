# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import pytest

from hpip.backends.base import Backend, SessionOptions
from hpip.backends.registry import backend_named, backend_names
from hpip.common.devices import Device
from hpip.errors import BackendUnavailableError, InvalidInputError
from hpip.types import ModelFiles

ENGINES = ("paddle", "onnxruntime", "openvino", "tensorrt")


@pytest.mark.parametrize("name", backend_names())
def test_a_backend_has_the_name_that_it_is_found_by(name: str) -> None:
    backend = backend_named(name)
    assert isinstance(backend, Backend)
    assert backend.name == name
    assert backend.format in ("paddle", "onnx")


def test_an_unknown_name_is_an_error_that_tells_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match=r"expected one of paddle.*received 'tflite'"):
        backend_named("tflite")


def test_finding_backends_imports_no_engine() -> None:
    code = (
        "import sys; from hpip.backends.registry import *\n"
        "for name in backend_names(): backend_named(name)\n"
        f"assert not set({ENGINES}) & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_probe_tells_a_version_or_a_reason() -> None:
    for name in backend_names():
        probe = backend_named(name).probe()
        assert bool(probe.version) != bool(probe.reason)
        assert bool(probe.version) == bool(probe.devices)


def test_plain_paddle_refuses_other_precisions_and_settings(demo_files: ModelFiles) -> None:
    paddle = backend_named("paddle")
    if paddle.probe().version is None:
        pytest.skip("paddlepaddle is not installed")
    with pytest.raises(BackendUnavailableError, match="fp32 on cpu, not bf16"):
        paddle.open(demo_files, SessionOptions(Device("cpu"), 1, precision="bf16"))
    with pytest.raises(InvalidInputError, match="expected no settings; received 'turbo'"):
        paddle.open(demo_files, SessionOptions(Device("cpu"), 1, settings={"turbo": True}))
