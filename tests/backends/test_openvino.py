# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from hpip.backends.base import SessionOptions
from hpip.backends.openvino import compile_properties
from hpip.common.devices import Device
from hpip.errors import BackendUnavailableError, InvalidInputError

CPU = Device("cpu")


def test_full_float32_unless_asked_otherwise() -> None:
    assert compile_properties(SessionOptions(CPU, 3)) == {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": 3,
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": True,
    }
    chosen = compile_properties(SessionOptions(CPU, 3, precision="bf16"))
    assert chosen["INFERENCE_PRECISION_HINT"] == "bf16"


def test_the_hint_and_the_company_are_passed_on() -> None:
    options = SessionOptions(CPU, 1, settings={"performance_hint": "throughput"}, shares_cpu=True)
    chosen = compile_properties(options)
    assert chosen["PERFORMANCE_HINT"] == "THROUGHPUT"
    assert chosen["ENABLE_CPU_PINNING"] is False


def test_what_it_cannot_do_is_refused() -> None:
    with pytest.raises(BackendUnavailableError, match="gpu:0"):
        compile_properties(SessionOptions(Device("gpu"), 1))
    with pytest.raises(BackendUnavailableError, match="not fp16"):
        compile_properties(SessionOptions(CPU, 1, precision="fp16"))
    with pytest.raises(InvalidInputError, match="latency, throughput; received 'fast'"):
        compile_properties(SessionOptions(CPU, 1, settings={"performance_hint": "fast"}))
