# SPDX-License-Identifier: Apache-2.0
"""The instances of one image as arrays, and as an editable dict."""

from __future__ import annotations

import os
from typing import Any, cast

import numpy as np

import hpip.ops as ops
from hpip.errors import InvalidInputError
from hpip.results.lazy_dict import UNMADE, LazyDict
from hpip.results.result_edits import Edits, InstanceArrays, apply_edits, check_boxes, check_masks
from hpip.types import AnyArray, Float32Array, Int64Array, RleMask, UInt8Array


class EditableInstances(LazyDict):
    """The keys of a result, and its instances as arrays; see `InstanceSegResult`."""

    def __init__(
        self,
        *,
        input_path: str | None,
        page_index: int | None,
        image: UInt8Array,
        instances: InstanceArrays,
        full_image_masks: bool,
    ) -> None:
        super().__init__(
            input_path=input_path,
            page_index=page_index,
            input_img=image,
            boxes=UNMADE,
            masks=UNMADE,
        )
        self.image_hw = image.shape[0], image.shape[1]
        self.full_image_masks = full_image_masks
        self._original = instances
        self._made_boxes: list[dict[str, Any]] = []
        self._made_masks: list[UInt8Array] = []
        _check(image, instances)

    @property
    def input_path(self) -> str | None:
        """Path or URL of the image; None for an array."""
        return cast("str | None", self.get("input_path"))

    @property
    def page_index(self) -> int | None:
        """Page of a PDF or TIFF, from 0; None for anything else."""
        return cast("int | None", self.get("page_index"))

    @property
    def image(self) -> UInt8Array:
        """(H, W, 3) BGR.

        Raises:
            InvalidInputError: the key `input_img` was deleted.
        """
        if "input_img" not in self:
            raise InvalidInputError(
                "'input_img' was deleted from this result, which needs it for drawings. Draw or"
                " save the result before you delete the key."
            )
        return cast(UInt8Array, self["input_img"])

    @property
    def class_ids(self) -> Int64Array:
        """(N,) class ids."""
        return self._instances().class_ids

    @property
    def scores(self) -> Float32Array:
        """(N,) scores."""
        return self._instances().scores

    @property
    def boxes_xyxy(self) -> Float32Array:
        """(N, 4) boxes in image pixels, half-open."""
        return self._instances().boxes_xyxy

    @property
    def labels(self) -> list[str]:
        """N class names."""
        return self._instances().labels

    @property
    def rle(self) -> list[RleMask]:
        """N masks as RLE, each of a crop that lies inside the image."""
        return self._instances().rle

    def _instances(self) -> InstanceArrays:
        """The instances, including the edits of `boxes` and `masks`."""
        if not self.is_made("boxes") and not self.is_made("masks"):
            return self._original
        edits = Edits(
            self._made_boxes or self._make_boxes(),
            self._box_list(),
            self._made_masks,
            self["masks"] if self.is_made("masks") else None,
        )
        return apply_edits(
            self._original, edits, self.image_hw, full_image_masks=self.full_image_masks
        )

    def make(self, key: str) -> Any:
        """See `LazyDict`."""
        if key == "boxes":
            self._made_boxes = self._make_boxes()
            return list(self._made_boxes)
        # All instances, even if boxes were removed: as in PaddleX, callers filter both lists.
        place = self._on_canvas if self.full_image_masks else _decode
        self._made_masks = [place(mask) for mask in self._original.rle]
        return list(self._made_masks)

    def _make_boxes(self) -> list[dict[str, Any]]:
        now = self._original
        rows = zip(
            now.class_ids.tolist(),
            now.labels,
            now.scores.tolist(),
            now.boxes_xyxy.tolist(),
            strict=True,
        )
        boxes = [
            {"cls_id": class_id, "label": label, "score": score, "coordinate": box}
            for class_id, label, score, box in rows
        ]
        if self.full_image_masks:
            for box in boxes:
                box["class_id"] = box["cls_id"]
        return boxes

    def _box_list(self) -> list[Any]:
        """The value of `boxes`, without storing it if it was never accessed."""
        return cast("list[Any]", self["boxes"]) if self.is_made("boxes") else self._make_boxes()

    def __getitem__(self, key: str) -> Any:
        return super().__getitem__(_listed(key))

    def __setitem__(self, key: str, value: Any) -> None:
        match key := _listed(key):
            case "input_path":
                value = None if value is None else os.fspath(value)
            case "input_img":
                _check_image(value, self.image_hw)
            case "boxes":
                value = check_boxes(value)
            case "masks":
                value = check_masks(value)
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        if key == "boxes":
            raise InvalidInputError(
                "'boxes' can't be deleted, because drawings and files require it. Assign an empty"
                " list to remove all instances."
            )
        super().__delitem__(_listed(key))

    def __contains__(self, key: object) -> bool:
        return super().__contains__(_listed(key))

    # Unlike a dict, which compares item by item: NumPy arrays have no single truth value.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    __hash__ = object.__hash__  # type: ignore[assignment]

    def crop(self, index: int) -> UInt8Array:
        """Decode one mask inside its crop: (h, w) uint8 of {0, 1}, of size `rle[index].crop_hw`."""
        return _decode(self.rle[index])

    def mask(self, index: int) -> UInt8Array:
        """Decode one mask in the size of the image: (H, W) uint8 of {0, 1}."""
        return self._on_canvas(self.rle[index])

    def _on_canvas(self, mask: RleMask) -> UInt8Array:
        (y, x), (height, width) = mask.offset_yx, mask.crop_hw
        whole = np.zeros(self.image_hw, np.uint8)
        whole[y : y + height, x : x + width] = _decode(mask)
        return whole


def _listed(key: Any) -> Any:
    """Replace `img_path`, PaddleX's older name, by `input_path`."""
    return "input_path" if key == "img_path" else key


def _decode(mask: RleMask) -> UInt8Array:
    return ops.decode_rle(mask.counts, mask.crop_hw)


def _check_image(image: Any, image_hw: tuple[int, int]) -> None:
    shape = (*image_hw, 3)
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != shape:
        received = (
            f"{image.dtype} of shape {image.shape}"
            if isinstance(image, np.ndarray)
            else type(image).__name__
        )
        raise InvalidInputError(
            f"input_img: expected uint8 of shape {shape}, as the original image; received"
            f" {received}. Assign an image of the same size."
        )


def _check(image: UInt8Array, instances: InstanceArrays) -> None:
    count = len(instances.rle)
    arrays: dict[str, tuple[AnyArray, type[np.generic], tuple[int, ...]]] = {
        "image": (image, np.uint8, (*image.shape[:2], 3)),
        "class_ids": (instances.class_ids, np.int64, (count,)),
        "scores": (instances.scores, np.float32, (count,)),
        "boxes_xyxy": (instances.boxes_xyxy, np.float32, (count, 4)),
    }
    for name, (array, dtype, shape) in arrays.items():
        if array.dtype != dtype or array.shape != shape:
            raise InvalidInputError(
                f"{name}: expected {np.dtype(dtype).name} of shape {shape} for {count} masks;"
                f" received {array.dtype.name} of shape {array.shape}. Pass an array of this dtype"
                " and shape."
            )
    if len(instances.labels) != count:
        raise InvalidInputError(
            f"labels: expected one for each of {count} masks; received {len(instances.labels)}."
            " Pass one label per mask."
        )
    height, width = image.shape[:2]
    for i, mask in enumerate(instances.rle):
        (y, x), (crop_height, crop_width) = mask.offset_yx, mask.crop_hw
        if min(y, x) < 0 or y + crop_height > height or x + crop_width > width:
            raise InvalidInputError(
                f"masks[{i}]: expected a crop of the {height}x{width} image; received"
                f" {crop_height}x{crop_width} pixels at row {y}, column {x}. Clip the crop to the"
                " image."
            )
