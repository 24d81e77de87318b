# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from hpip.common.devices import Device, parse_devices
from hpip.errors import InvalidInputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpu", (Device("cpu"),)),
        ("CPU:0", (Device("cpu"),)),
        ("gpu", (Device("gpu", 0),)),
        ("gpu:0,1", (Device("gpu", 0), Device("gpu", 1))),
        (" npu:3 ", (Device("npu", 3),)),
        ("xpu:0", (Device("xpu", 0),)),
        ("mlu", (Device("mlu", 0),)),
    ],
)
def test_devices_are_read(text: str, expected: tuple[Device, ...]) -> None:
    assert parse_devices(text) == expected


@pytest.mark.parametrize("text", ["", "tpu", "gpu:", "gpu:x", "gpu:0,", "gpu:-1", "gpu:1,1", "0"])
def test_anything_else_is_an_error_that_shows_the_text(text: str) -> None:
    with pytest.raises(InvalidInputError, match="device: expected") as error:
        parse_devices(text)
    assert repr(text) in str(error.value)


def test_a_device_prints_as_its_string() -> None:
    assert [str(d) for d in parse_devices("gpu:2")] == ["gpu:2"]
    assert str(Device("cpu")) == "cpu"
