# SPDX-License-Identifier: Apache-2.0
"""Array type aliases and the frozen dataclasses that several modules share."""

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
    """Resize to `target_hw`; with `keep_ratio`, to the largest size that fits into it.

    As in PaddleX 3.7, `target_hw` has no orientation when the aspect ratio is kept: the larger of
    the two numbers limits the image's longer side, the smaller one its shorter side.
    """

    target_hw: tuple[int, int]
    keep_ratio: bool
    interpolation: Interpolation

    def output_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """Size after this step; sides are at least 1, ties round to even as in PaddleX."""
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
    """Transpose from HWC to CHW."""


@dataclass(frozen=True)
class PadStrideStep:
    """Zero-pad the bottom and right to a multiple of `stride`; no padding for 0 or less."""

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
    """The steps from a BGR image to the network's RGB input, in the model's order."""

    steps: tuple[PreprocessStep, ...]

    def resized_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """Size of the resized image inside the network's input, without padding."""
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
    """One instance's mask: the COCO RLE of a crop, and the crop's position in the image.

    Attributes:
        counts: COCO's compressed RLE counts, column-major, starting with a run of zeros.
        crop_hw: height and width of the crop in pixels, each at least 1.
        offset_yx: top left pixel of the crop in the image.
    """

    counts: bytes
    crop_hw: tuple[int, int]
    offset_yx: tuple[int, int]

    def __init__(self, counts: bytes, crop_hw: tuple[int, int], offset_yx: tuple[int, int]) -> None:
        # The generated __init__ of a frozen dataclass costs 0.2 us more; encoding costs 9 us.
        fields = self.__dict__
        fields["counts"] = counts
        fields["crop_hw"] = crop_hw
        fields["offset_yx"] = offset_yx


@dataclass(frozen=True)
class MaskSource:
    """What a truncated graph returns in place of full-size masks, and the mask post-processing.

    A truncated graph ends before the mask head's resize to the original image. hpip finishes the
    masks natively, for the instances that pass the score threshold only.

    Outputs of the graph: "boxes" (N, 6: class, score, x0, y0, x1, y1) and "counts" (boxes per
    image), or "class_ids" and "scores" for a model without boxes; then either "masks", or
    "coefficients" (N, C) and "prototypes" (B, C, h, w), whose product is the mask logits.

    Post-processing, in this order: `activation`; bilinear resize to `upsample_hw`; zero outside
    the instance's box (`crops_to_box`) or outside the resized image (`crops_to_image`); bilinear
    resize to `canvas_hw()`, or paste into the box for the convention "region"; zero outside
    `origin_hw()`; compare with `threshold`. All resizing uses half-pixel centres.

    Attributes:
        convention: "image": each mask covers the whole image as the network sees it; "region": each
            mask covers its box only.
        boxes_frame: coordinates of the boxes. "image": pixels of the original image; "network":
            pixels of the network's input, to be divided by the scale factor; "none": no boxes.
        activation: function applied to the masks before they are compared with `threshold`.
        clips_boxes: clip boxes to the image, and drop those that are empty afterwards.
        upsample_hw: size of the first resize, or None for none.
        crops_to_box: zero masks outside their box in the network's input.
        crops_to_image: crop masks to the resized image, without its padding.
        canvas: how the size of the last resize follows from the network's inputs.
        threshold: a pixel is foreground when its value is above this.
        inclusive: a value equal to `threshold` is foreground too.
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
    crops_to_image: bool = False
    canvas: Literal["rounded", "unpadded", "row_scaled"] = "rounded"


@dataclass(frozen=True)
class ModelFiles:
    """A program (network graph) file that an engine loads, and its parameter file."""

    program: Path
    params: Path


@dataclass(frozen=True)
class TensorSpec:
    """NumPy's name of an element type, and a static shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Segment:
    """A subgraph that an engine runs, with named inputs and outputs.

    If a model is split into several segments, none has control flow or detection operators.

    Attributes:
        name: display name, unique within a plan.
        files: program and parameters. The parameter file is that of the whole exported model.
        inputs: names of the inputs.
        outputs: names of the outputs, in order.
        rows: name of an input with one row per box; if it has no rows, the segment is not run and
            its outputs are `empty_outputs`. Empty if the segment always runs.
        empty_outputs: type and shape of each output for zero rows.
        row_inputs: names of all inputs with one row per box, if every output has one row per box
            too; empty if that is unknown.
        max_rows: maximum number of boxes per run if there are `row_inputs`; the session runs
            larger numbers in several runs.
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
    """A detection operator that hpip runs between two segments, in native code.

    See `hpip.inference.execution.native_steps`.

    Attributes:
        kind: name of the operator.
        attributes: its attributes, as JSON values.
        inputs: names of its inputs.
        outputs: names of its outputs.
    """

    kind: Literal["generate_proposals", "repeat_rows", "roi_align", "multiclass_nms", "gather_rows"]
    attributes: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


PlanStep: TypeAlias = Segment | NativeStep
