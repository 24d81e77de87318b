# SPDX-License-Identifier: Apache-2.0
"""What a cut program leaves to do: boxes to the image, masks of kept instances to run-length codes.

See `MaskSource` for the steps. Masks stay at the network's resolution until `ops.encode_masks`
makes runs of them, so that memory does not grow with the size of the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

import hpip.ops as ops
from hpip.errors import BackendError
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
    """Sizes of one picture on its way back, in pixels.

    Attributes:
        picture_hw: the resized picture inside the network's input.
        canvas_hw: what masks are resized to.
        origin_hw: what remains of the canvas; the image's size, but for the export's rounding.
    """

    picture_hw: tuple[int, int]
    canvas_hw: tuple[int, int]
    origin_hw: tuple[int, int]


def geometry(source: MaskSource, im_shape: Float32Array, scale_yx: Float32Array) -> Geometry:
    """Sizes that follow from one picture's feeds, computed in float32 as the export does.

    Args:
        source: what remains to be done.
        im_shape: (2,) height and width of the resized picture.
        scale_yx: (2,) resized over original.
    """
    if source.canvas == "row_scaled":
        origin = canvas = np.trunc(im_shape / scale_yx[0] + _HALF)
    elif source.canvas == "unpadded":
        canvas = np.floor(np.array(source.upsample_hw, np.float32) / scale_yx + _HALF)
        origin = np.minimum(np.trunc(im_shape / scale_yx), canvas)
    else:
        origin = canvas = np.floor(im_shape / scale_yx + _HALF)
    return Geometry(_pair(np.trunc(im_shape)), _pair(canvas), _pair(origin))


@dataclass(frozen=True)
class UnpastedPicture:
    """One picture's share of what a cut program returned.

    Attributes:
        source: what remains to be done.
        geometry: the picture's sizes.
        class_ids: (N,) int64; -1 where clipping left nothing of the box.
        scores: (N,) float32.
        boxes_xyxy: (N, 4) float32 in pixels of the image, or None where the model has no boxes.
        network_boxes: (N, 4) as the program returned them, or None.
        values: (N, h, w) float32, or (N, C) coefficients.
        prototypes: (C, h, w), or None.
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
        """Finish the instances of these indices.

        Args:
            kept: indices, ascending.
            image_hw: size of the image. The export's own arithmetic may make masks that are a pixel
                larger or smaller; nothing outside the image comes out.
            threads: CPU threads of the kernels.

        Returns:
            (K, 4) boxes inside the image and K masks of the boxes' crops. Where the model has no
            boxes, the box is the mask's, and one without a pixel is (0, 0, 0, 0).
        """
        height, width = np.minimum(self.geometry.origin_hw, image_hw).tolist()
        if self.boxes_xyxy is None:
            return self._encode_whole(kept, (height, width), threads)
        limit = np.array([width, height, width, height], np.float32)
        boxes = np.clip(self.boxes_xyxy[kept], 0, limit)
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
        """Masks of the boxes' crops, or of the whole canvas."""
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
        """(K, h, w) at the network's resolution, which is small, for all kept instances at once."""
        values = self.values[kept]
        if self.prototypes is not None:
            flat = values @ self.prototypes.reshape(values.shape[1], -1)
            values = flat.reshape(len(kept), *self.prototypes.shape[1:])
        if self.source.activation == "sigmoid":
            # One exponential without overflow, unlike 1 / (1 + exp(-x)).
            values = _HALF * (1 + np.tanh(_HALF * values))
        return values.astype(np.float32, copy=False)

    def _upsampling(self, kept: Int64Array) -> ops.Upsampling | None:
        size_hw = self.source.upsample_hw
        if size_hw is None:
            return None
        kept_hw = size_hw
        if self.source.crops_to_picture:
            kept_hw = _pair(np.minimum(size_hw, self.geometry.picture_hw))
        windows = None
        if self.source.crops_to_box and self.network_boxes is not None:
            # A pixel is inside when box_min <= its index < box_max.
            first_pixels = np.ceil(self.network_boxes[kept])
            windows = first_pixels.clip(0, np.tile(kept_hw[::-1], 2)).astype(np.int64)
            windows[:, 2:] = np.maximum(windows[:, 2:], windows[:, :2])
        return ops.Upsampling(size_hw, kept_hw, windows)


def split_unpasted(
    source: MaskSource,
    outputs: Mapping[str, AnyArray],
    im_shape: Float32Array,
    scale_factor: Float32Array,
) -> list[UnpastedPicture]:
    """Share out what a cut program returned among the pictures of the batch.

    Args:
        source: what remains to be done.
        outputs: the program's outputs by name.
        im_shape: (B, 2) as fed.
        scale_factor: (B, 2) as fed.

    Raises:
        BackendError: the counts do not fit the rows; the engine's answer is wrong.
    """
    pictures = []
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
                gone = (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
                class_ids[gone] = -1
        name = "coefficients" if source.has_prototypes else "masks"
        values = outputs[name]
        values = values.reshape(-1, *values.shape[-1 if source.has_prototypes else -2 :])
        pictures.append(
            UnpastedPicture(
                source, sizes, class_ids, scores, boxes, network_boxes, values[share], prototypes
            )
        )
    return pictures


def _shares(
    source: MaskSource, outputs: Mapping[str, AnyArray], pictures: int
) -> Iterator[tuple[slice, Float32Array | None]]:
    """Rows and prototypes of each picture."""
    if source.boxes_frame == "none":
        if pictures != 1:
            raise BackendError("unpasted", "run", f"one picture expected, received {pictures}")
        yield slice(None), None
        return
    ends = np.cumsum(outputs["counts"].reshape(-1)).tolist()
    rows = len(outputs["boxes"].reshape(-1, 6))
    if len(ends) != pictures or ends[-1] != rows:
        raise BackendError(
            "unpasted",
            "run",
            f"the network counts {ends} instances for {pictures} pictures but returned {rows} rows",
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
    if source.clips_boxes:
        height, width = sizes.origin_hw
        moved = moved.clip(0, np.array([width, height, width, height], np.float32))
    return moved


def _pair(size: AnyArray) -> tuple[int, int]:
    height, width = (max(1, int(side)) for side in size)
    return height, width
