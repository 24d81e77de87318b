# SPDX-License-Identifier: Apache-2.0
"""Array aliases and the small frozen records that several modules share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

AnyArray: TypeAlias = NDArray[Any]
UInt8Array: TypeAlias = NDArray[np.uint8]
Int32Array: TypeAlias = NDArray[np.int32]
Int64Array: TypeAlias = NDArray[np.int64]
Float16Array: TypeAlias = NDArray[np.float16]
Float32Array: TypeAlias = NDArray[np.float32]
Float64Array: TypeAlias = NDArray[np.float64]

Interpolation: TypeAlias = Literal["nearest", "linear", "cubic", "area"]
ChannelOrder: TypeAlias = Literal["bgr", "rgb"]
TensorLayout: TypeAlias = Literal["nchw", "nhwc"]
PasteConvention: TypeAlias = Literal["region", "image", "pasted"]


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


@dataclass(frozen=True, init=False)
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

    def __init__(self, counts: bytes, crop_hw: tuple[int, int], offset_yx: tuple[int, int]) -> None:
        # A frozen class's own way takes 0.2 us more, of 9 us for a mask's codes.
        fields = self.__dict__
        fields["counts"] = counts
        fields["crop_hw"] = crop_hw
        fields["offset_yx"] = offset_yx


@dataclass(frozen=True)
class MaskSource:
    """What a cut program returns instead of pasted masks, and what remains to be done natively.

    Its outputs are named "boxes" (N, 6: class, score, x0, y0, x1, y1) and "counts" (boxes per
    image), or "class_ids" and "scores" where the model has no boxes; then either "masks" or
    "coefficients" (N, C) and "prototypes" (B, C, h, w), whose product is the masks' logits.

    The remainder, in this order: `activation`; bilinear resize (pixel centres, as all resizing
    here) to `upsample_hw`; zero outside the instance's box (`crops_to_box`) or outside the resized
    picture (`crops_to_picture`); bilinear resize to `canvas_hw()`, or paste into the box where
    `convention` is "region"; zero outside `origin_hw()`; compare with `threshold`.

    Attributes:
        convention: "image": each mask covers the network's picture; "region": its box only.
        boxes_frame: "image": pixels of the original; "network": of the network's input, to be
            divided by the scale factor; "none": there are no boxes.
        activation: function between the network's values and those that are compared.
        clips_boxes: boxes are to be clipped to the image, and dropped when that leaves nothing.
        upsample_hw: size that masks are first brought to, or None.
        crops_to_box: masks are zeroed outside their box in the network's input.
        crops_to_picture: masks are cut to the resized picture, without its padding.
        canvas: rule by which the size of the last resize follows from the feeds.
        threshold: a pixel is set when its value is above (`inclusive`: or equal to) this.
        inclusive: see `threshold`.
    """

    convention: Literal["image", "region"]
    boxes_frame: Literal["image", "network", "none"]
    threshold: float
    inclusive: bool
    activation: Literal["none", "sigmoid"] = "none"
    has_prototypes: bool = False
    upsample_hw: tuple[int, int] | None = None
    clips_boxes: bool = False
    crops_to_box: bool = False
    crops_to_picture: bool = False
    canvas: Literal["rounded", "unpadded", "row_scaled"] = "rounded"


@dataclass(frozen=True)
class ModelFiles:
    """The program that an engine loads, and its parameters."""

    program: Path
    params: Path


@dataclass(frozen=True)
class TensorSpec:
    """NumPy's name of an element type, and a shape without open lengths."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Segment:
    """A part of a model that an engine runs: one program, named values in, named values out.

    Where a model is split, the program has no control flow and no detection operators.

    Attributes:
        name: for people; different for each segment of a plan.
        files: program and parameters. The parameters are those of the whole export.
        inputs: what the program is fed, by the program's own names.
        outputs: what it returns, in its order.
        rows: name of an input with one row for each box; when it has none, nothing is run and the
            outputs are `empty_outputs`. Empty where the program is always run.
        empty_outputs: type and shape of each output when there are no rows.
        row_inputs: names of all inputs with one row for each box, where every output has one too;
            empty where that is not known.
        max_rows: most boxes of one run where there are `row_inputs`; the session runs the segment
            on so many boxes at a time.
    """

    name: str
    files: ModelFiles
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rows: str = ""
    empty_outputs: tuple[TensorSpec, ...] = ()
    row_inputs: tuple[str, ...] = ()
    max_rows: int = 0


@dataclass(frozen=True)
class NativeStep:
    """What hpip does itself between two segments; see `hpip.inference.execution.native_steps`.

    Attributes:
        kind: which work.
        attributes: its constants, as JSON holds them.
        inputs: names of the values that it reads.
        outputs: names of the values that it makes.
    """

    kind: Literal["generate_proposals", "repeat_rows", "roi_align", "multiclass_nms", "gather_rows"]
    attributes: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


PlanStep: TypeAlias = Segment | NativeStep
