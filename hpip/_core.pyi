# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence

from hpip.types import Float32Array, UInt8Array

__version__: str

def build_info() -> dict[str, str]: ...
def resize_u8(image: UInt8Array, interpolation: str, out: UInt8Array, threads: int) -> None: ...
def resize_f32(
    image: Float32Array, interpolation: str, out: Float32Array, threads: int
) -> None: ...
def normalize_u8(
    image: UInt8Array,
    factor: Sequence[float],
    offset: Sequence[float],
    out: Float32Array,
    threads: int,
) -> None: ...
def normalize_f32(
    image: Float32Array,
    factor: Sequence[float],
    offset: Sequence[float],
    out: Float32Array,
    threads: int,
) -> None: ...
def preprocess(
    images: Sequence[UInt8Array],
    resized_hw: Sequence[tuple[int, int]],
    interpolation: str,
    factor: Sequence[float],
    offset: Sequence[float],
    normalize_first: bool,
    out: Float32Array,
    threads: int,
) -> None: ...
