# SPDX-License-Identifier: Apache-2.0
"""Device strings: `cpu`, `gpu:0`, `gpu:0,1`, `npu`, `xpu:0`, `mlu:0`."""

from __future__ import annotations

from dataclasses import dataclass

from hpip.errors import InvalidInputError

DEVICE_KINDS = ("cpu", "gpu", "npu", "xpu", "mlu")


@dataclass(frozen=True)
class Device:
    """One device; `str()` returns its device string."""

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"


def parse_devices(text: str) -> tuple[Device, ...]:
    """Parse a device string in PaddleX's syntax: a kind, then optional comma-separated indices.

    Args:
        text: for example `cpu`, `gpu` (same as `gpu:0`), `gpu:1,2`. Case is ignored.

    Returns:
        One device per index, in the given order.

    Raises:
        InvalidInputError: the kind is unknown, or an index is not a number or repeated.
    """
    kind, colon, indices = text.strip().lower().partition(":")
    if kind not in DEVICE_KINDS:
        raise InvalidInputError(
            f"device: expected one of {', '.join(DEVICE_KINDS)}, "
            f"with indices as in gpu:0,1; received {text!r}"
        )
    if not colon:
        return (Device(kind),)
    parts = [part.strip() for part in indices.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise InvalidInputError(
            f"device: expected numbers after the colon, as in gpu:0,1; received {text!r}"
        )
    numbers = [int(part) for part in parts]
    if len(set(numbers)) != len(numbers):
        raise InvalidInputError(f"device: expected each index once; received {text!r}")
    if kind == "cpu":
        return (Device("cpu"),)
    return tuple(Device(kind, number) for number in numbers)
