# SPDX-License-Identifier: Apache-2.0
"""What a cut program leaves to do: boxes to the image, masks of kept instances to run-length codes.

See `MaskSource` for the steps. They run instance by instance, so that memory grows with neither the
number of instances nor, but for the crop at hand, the size of the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpip import ops
from hpip.errors import BackendError
from hpip.types import (
    AnyArray,
    Float32Array,
    Int64Array,
    MaskSource,
    RleMask,
    UInt8Array,
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
        masks = []
        for index, values, box in zip(kept.tolist(), self._values(kept), boxes, strict=True):
            (crop,) = ops.paste_masks(
                self._prepared(index, values)[None],
                box[None],
                self.geometry.canvas_hw,
                convention=self.source.convention,
                mask_threshold=self.source.threshold,
                inclusive=self.source.inclusive,
                crop=True,
                threads=threads,
            )
            ((x0, y0, _, _),) = ops.crop_boxes(box[None], self.geometry.canvas_hw).tolist()
            crop_hw = (crop.shape[0], crop.shape[1])
            masks.append(RleMask(ops.encode_rle(crop), crop_hw, (y0, x0)))
        return boxes, masks

    def _encode_whole(
        self, kept: Int64Array, size_hw: tuple[int, int], threads: int
    ) -> tuple[Float32Array, list[RleMask]]:
        boxes = np.zeros((len(kept), 4), np.float32)
        masks = []
        for row, (index, values) in enumerate(zip(kept.tolist(), self._values(kept), strict=True)):
            (whole,) = ops.paste_masks(
                self._prepared(index, values)[None],
                None,
                self.geometry.canvas_hw,
                convention="image",
                mask_threshold=self.source.threshold,
                inclusive=self.source.inclusive,
                threads=threads,
            )
            mask = whole[: size_hw[0], : size_hw[1]]
            x0, y0, x1, y1 = _bounds(mask)
            boxes[row] = x0, y0, x1, y1
            crop = mask[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
            masks.append(RleMask(ops.encode_rle(crop), (crop.shape[0], crop.shape[1]), (y0, x0)))
        return boxes, masks

    def _values(self, kept: Int64Array) -> Float32Array:
        """(K, h, w) at the network's resolution, which is small, for all kept instances at once."""
        values = self.values[kept]
        if self.prototypes is None:
            return values
        flat = values @ self.prototypes.reshape(values.shape[1], -1)
        return flat.reshape(len(kept), *self.prototypes.shape[1:])

    def _prepared(self, index: int, values: Float32Array) -> Float32Array:
        """Values of one instance as they enter the last resize or the paste."""
        if self.source.activation == "sigmoid":
            # One exponential without overflow, unlike 1 / (1 + exp(-x)).
            values = _HALF * (1 + np.tanh(_HALF * values))
        if self.source.upsample_hw is not None:
            values = self._upsampled(values, index, self.source.upsample_hw)
        return np.ascontiguousarray(values, np.float32)

    def _upsampled(self, values: Float32Array, index: int, size: tuple[int, int]) -> Float32Array:
        rows, columns = range(size[0]), range(size[1])
        if self.source.crops_to_picture:
            picture_h, picture_w = self.geometry.picture_hw
            rows, columns = rows[:picture_h], columns[:picture_w]
        if not self.source.crops_to_box or self.network_boxes is None:
            return _resize_window(values, size, rows, columns)
        # A pixel is inside when box_min <= its index < box_max.
        x0, y0, x1, y1 = (int(edge) for edge in np.ceil(self.network_boxes[index]).clip(0, 2**30))
        result = np.zeros(size, np.float32)
        rows, columns = rows[y0:y1], columns[x0:x1]
        if rows and columns:
            window = _resize_window(values, size, rows, columns)
            result[rows.start : rows.stop, columns.start : columns.stop] = window
        return result


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


def _resize_window(
    values: Float32Array, size: tuple[int, int], rows: Sequence[int], columns: Sequence[int]
) -> Float32Array:
    """The given rows and columns of `values` resized to `size`, sampled at pixel centres."""
    low_y, high_y, share_y = _samples(values.shape[0], size[0], rows)
    low_x, high_x, share_x = _samples(values.shape[1], size[1], columns)
    mixed = values[low_y] * (1 - share_y)[:, None] + values[high_y] * share_y[:, None]
    window = mixed[:, low_x] * (1 - share_x) + mixed[:, high_x] * share_x
    return window.astype(np.float32, copy=False)


def _samples(
    length: int, target: int, wanted: Sequence[int]
) -> tuple[Int64Array, Int64Array, Float32Array]:
    """Neighbours of each wanted sample on an axis, and the second one's share."""
    ratio = np.float32(length / target)
    position = (np.array(wanted, np.float32) + _HALF) * ratio - _HALF
    position = np.maximum(position, np.float32(0))
    low = np.minimum(position.astype(np.int64), length - 1)
    return low, np.minimum(low + 1, length - 1), (position - low).astype(np.float32)


def _bounds(mask: UInt8Array) -> tuple[int, int, int, int]:
    """Half-open xyxy of the set pixels; all 0 when there is none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if len(rows) == 0:
        return 0, 0, 0, 0
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _pair(size: AnyArray) -> tuple[int, int]:
    height, width = (max(1, int(side)) for side in size)
    return height, width
