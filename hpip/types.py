# SPDX-License-Identifier: Apache-2.0
"""Array aliases and the small frozen records that several modules share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

AnyArray: TypeAlias = NDArray[Any]
UInt8Array: TypeAlias = NDArray[np.uint8]
Int64Array: TypeAlias = NDArray[np.int64]
Float32Array: TypeAlias = NDArray[np.float32]

Interpolation: TypeAlias = Literal["nearest", "linear", "cubic", "area"]


@dataclass(frozen=True)
class ResizeStep:
    """Resize to `target_hw`; with `keep_ratio` to the largest size that fits into it.

    As PaddleX 3.7 does, `target_hw` is not oriented when the ratio is kept: the image's longer side
    is held against the larger of the two numbers.
    """

    target_hw: tuple[int, int]
    keep_ratio: bool
    interpolation: Interpolation

    def output_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """Size after this step; each side at least 1, ties rounded to even as PaddleX does."""
        if not self.keep_ratio:
            return self.target_hw
        scale = min(
            max(self.target_hw) / max(image_hw),
            min(self.target_hw) / min(image_hw),
        )
        height, width = (max(1, round(side * scale)) for side in image_hw)
        return height, width


@dataclass(frozen=True)
class NormalizeStep:
    """value * (scale / std) + (-mean / std), per channel in RGB order."""

    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class PermuteStep:
    """HWC to CHW."""


@dataclass(frozen=True)
class PadStrideStep:
    """Pad with zeros at the bottom and right to a multiple of `stride`; 0 or less pads nothing."""

    stride: int

    def output_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """Size after this step."""
        if self.stride <= 0:
            return image_hw
        height, width = (math.ceil(side / self.stride) * self.stride for side in image_hw)
        return height, width


PreprocessStep: TypeAlias = ResizeStep | NormalizeStep | PermuteStep | PadStrideStep


@dataclass(frozen=True)
class PreprocessPlan:
    """What turns a BGR image into the network's RGB input: the model's steps, in its order."""

    steps: tuple[PreprocessStep, ...]

    def resized_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """Size of the picture inside the network's input, before padding."""
        for step in self.steps:
            if isinstance(step, ResizeStep):
                image_hw = step.output_hw(image_hw)
        return image_hw

    def network_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """Size of the network's input for an image of `image_hw`."""
        for step in self.steps:
            if isinstance(step, ResizeStep | PadStrideStep):
                image_hw = step.output_hw(image_hw)
        return image_hw


@dataclass(frozen=True)
class RleMask:
    """One instance's mask: COCO run-length codes of a crop, and where the crop lies.

    Attributes:
        counts: COCO's compressed string, column-major, starting with a run of zeros.
        crop_hw: height and width of the crop in pixels, each at least 1.
        offset_yx: the crop's top left pixel in the image.
    """

    counts: bytes
    crop_hw: tuple[int, int]
    offset_yx: tuple[int, int]
