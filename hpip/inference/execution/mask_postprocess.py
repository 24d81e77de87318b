# SPDX-License-Identifier: Apache-2.0
"""Mask post-processing of a truncated graph: boxes in image pixels, masks as run-length codes.

A truncated graph returns low-resolution masks; see `MaskSource` for the steps that remain. Masks
stay at the network's resolution until `ops.encode_masks` encodes them, so memory does not grow
with the size of the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

import hpip.ops as ops
from hpip.errors import BackendError
from hpip.inference.execution.boxes import clip_boxes, have_area
from hpip.types import (
    AnyArray,
    Float32Array,
    Int64Array,
    MaskSource,
    RleMask,
)

_HALF = np.float32(0.5)


@dataclass(frozen=True)
class Geometry:
    """Sizes for mapping one image's masks and boxes back to the image, in pixels.

    Attributes:
        resized_hw: size of the resized image inside the network's input, without padding.
        canvas_hw: size that masks are resized to.
        image_hw: size of the image as the exported model computes it; rounding may make it differ
            from the true size by a pixel.
    """

    resized_hw: tuple[int, int]
    canvas_hw: tuple[int, int]
    image_hw: tuple[int, int]


def geometry(source: MaskSource, im_shape: Float32Array, scale_yx: Float32Array) -> Geometry:
    """Compute the sizes of one image from its feeds, in float32 as the exported model does.

    Args:
        source: the remaining mask steps.
        im_shape: (2,) height and width of the resized image.
        scale_yx: (2,) resized size divided by original size.
    """
    if source.canvas == "row_scaled":
        image = canvas = np.trunc(im_shape / scale_yx[0] + _HALF)
    elif source.canvas == "unpadded":
        canvas = np.floor(np.array(source.upsample_hw, np.float32) / scale_yx + _HALF)
        image = np.minimum(np.trunc(im_shape / scale_yx), canvas)
    else:
        image = canvas = np.floor(im_shape / scale_yx + _HALF)
    return Geometry(_pair(np.trunc(im_shape)), _pair(canvas), _pair(image))


@dataclass(frozen=True)
class LowResolutionInstances:
    """One image's instances as a truncated graph returns them, before mask post-processing.

    Attributes:
        source: the remaining mask steps.
        geometry: the image's sizes.
        class_ids: (N,) int64; -1 if the clipped box is empty.
        scores: (N,) float32.
        boxes_xyxy: (N, 4) float32 in pixels of the image; None if the model has no boxes.
        network_boxes: (N, 4) as the graph returned them; None if the model has no boxes.
        values: (N, h, w) float32 masks, or (N, C) mask coefficients.
        prototypes: (C, h, w); None if the model has no prototypes.
    """

    source: MaskSource
    geometry: Geometry
    class_ids: Int64Array
    scores: Float32Array
    boxes_xyxy: Float32Array | None
    network_boxes: Float32Array | None
    values: Float32Array
    prototypes: Float32Array | None

    def encode(
        self, kept: Int64Array, image_hw: tuple[int, int], *, threads: int = 1
    ) -> tuple[Float32Array, list[RleMask]]:
        """Encode the masks of the selected instances.

        Args:
            kept: (K,) indices of the instances, ascending.
            image_hw: size of the image. The exported model's rounding may make the canvas a pixel
                larger or smaller; hpip clips the results to the image.
            threads: CPU threads of the kernels.

        Returns:
            (K, 4) boxes inside the image, and K masks, each of the crop of its box. If the model
            has no boxes, they are the masks' bounding boxes; that of an empty mask is (0, 0, 0, 0).
        """
        height, width = np.minimum(self.geometry.image_hw, image_hw).tolist()
        if self.boxes_xyxy is None:
            return self._encode_whole(kept, (height, width), threads)
        boxes = clip_boxes(self.boxes_xyxy[kept], (height, width))
        return boxes, self._encode_masks(kept, boxes, threads)

    def _encode_whole(
        self, kept: Int64Array, size_hw: tuple[int, int], threads: int
    ) -> tuple[Float32Array, list[RleMask]]:
        boxes = np.zeros((len(kept), 4), np.float32)
        masks = []
        canvas_hw = self.geometry.canvas_hw
        for row, mask in enumerate(self._encode_masks(kept, None, threads)):
            counts = ops.crop_rle(mask.counts, canvas_hw, (0, 0), size_hw)
            x, y, width, height = ops.rle_to_bbox(counts, size_hw)
            boxes[row] = x, y, x + width, y + height
            crop_hw = max(height, 1), max(width, 1)
            masks.append(RleMask(ops.crop_rle(counts, size_hw, (y, x), crop_hw), crop_hw, (y, x)))
        return boxes, masks

    def _encode_masks(
        self, kept: Int64Array, boxes: Float32Array | None, threads: int
    ) -> list[RleMask]:
        """Encode each mask within its box, or on the whole canvas if `boxes` is None."""
        return ops.encode_masks(
            self._values(kept),
            boxes,
            self.geometry.canvas_hw,
            convention=self.source.convention,
            mask_threshold=self.source.threshold,
            inclusive=self.source.inclusive,
            frame="crop" if boxes is not None else "image",
            upsampling=self._upsampling(kept),
            threads=threads,
        )

    def _values(self, kept: Int64Array) -> Float32Array:
        """(K, h, w) mask values of the selected instances at the network's resolution."""
        values = self.values[kept]
        if self.prototypes is not None:
            flat = values @ self.prototypes.reshape(values.shape[1], -1)
            values = flat.reshape(len(kept), *self.prototypes.shape[1:])
        if self.source.activation == "sigmoid":
            # Unlike 1 / (1 + exp(-x)), this form of the sigmoid can't overflow.
            values = _HALF * (1 + np.tanh(_HALF * values))
        return values.astype(np.float32, copy=False)

    def _upsampling(self, kept: Int64Array) -> ops.Upsampling | None:
        size_hw = self.source.upsample_hw
        if size_hw is None:
            return None
        kept_hw = size_hw
        if self.source.crops_to_image:
            kept_hw = _pair(np.minimum(size_hw, self.geometry.resized_hw))
        windows = None
        if self.source.crops_to_box and self.network_boxes is not None:
            # A pixel is inside the box if box_min <= its index < box_max.
            first_pixels = np.ceil(self.network_boxes[kept])
            windows = clip_boxes(first_pixels, kept_hw).astype(np.int64)
            windows[:, 2:] = np.maximum(windows[:, 2:], windows[:, :2])
        return ops.Upsampling(size_hw, kept_hw, windows)


def split_by_image(
    source: MaskSource,
    outputs: Mapping[str, AnyArray],
    im_shape: Float32Array,
    scale_factor: Float32Array,
) -> list[LowResolutionInstances]:
    """Split the outputs of a truncated graph by image.

    Args:
        source: the remaining mask steps.
        outputs: the graph's outputs by name.
        im_shape: (B, 2) as fed to the network.
        scale_factor: (B, 2) as fed to the network.

    Returns:
        One record for each of the B images, in order.

    Raises:
        BackendError: the engine returned instance counts that do not match the rows.
    """
    instances = []
    for index, (share, prototypes) in enumerate(_shares(source, outputs, len(im_shape))):
        sizes = geometry(source, im_shape[index], scale_factor[index])
        boxes = network_boxes = None
        if source.boxes_frame == "none":
            class_ids = outputs["class_ids"].reshape(-1)[share].astype(np.int64)
            scores = outputs["scores"].reshape(-1)[share]
        else:
            rows = outputs["boxes"].reshape(-1, 6)[share]
            network_boxes = rows[:, 2:]
            boxes = _to_image(source, network_boxes, scale_factor[index], sizes)
            class_ids, scores = rows[:, 0].astype(np.int64), rows[:, 1]
            if source.clips_boxes:
                class_ids[~have_area(boxes)] = -1
        name = "coefficients" if source.has_prototypes else "masks"
        values = outputs[name]
        values = values.reshape(-1, *values.shape[-1 if source.has_prototypes else -2 :])
        instances.append(
            LowResolutionInstances(
                source, sizes, class_ids, scores, boxes, network_boxes, values[share], prototypes
            )
        )
    return instances


def _shares(
    source: MaskSource, outputs: Mapping[str, AnyArray], images: int
) -> Iterator[tuple[slice, Float32Array | None]]:
    """Rows and prototypes of each image."""
    if source.boxes_frame == "none":
        if images != 1:
            raise BackendError(
                "mask post-processing", "run", f"expected a batch of 1 image; received {images}"
            )
        yield slice(None), None
        return
    ends = np.cumsum(outputs["counts"].reshape(-1)).tolist()
    rows = len(outputs["boxes"].reshape(-1, 6))
    if len(ends) != images or ends[-1] != rows:
        raise BackendError(
            "mask post-processing",
            "run",
            f"the engine returned cumulative instance counts {ends} for {images} images, "
            f"but {rows} rows",
        )
    prototypes = outputs.get("prototypes")
    for index, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        yield slice(start, end), None if prototypes is None else prototypes[index]


def _to_image(
    source: MaskSource, boxes: Float32Array, scale_yx: Float32Array, sizes: Geometry
) -> Float32Array:
    moved = boxes.astype(np.float32)
    if source.boxes_frame == "network":
        moved /= np.tile(scale_yx[::-1], 2)
    return clip_boxes(moved, sizes.image_hw) if source.clips_boxes else moved


def _pair(size: AnyArray) -> tuple[int, int]:
    height, width = (max(1, int(side)) for side in size)
    return height, width
