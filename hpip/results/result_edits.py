# SPDX-License-Identifier: Apache-2.0
"""Applies edits of a result's `boxes` and `masks` lists to its instances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import hpip.ops as ops
from hpip.errors import InvalidInputError
from hpip.types import AnyArray, Float32Array, Int64Array, RleMask, UInt8Array

Box = dict[str, Any]


@dataclass(frozen=True)
class InstanceArrays:
    """N instances: class ids, scores, boxes, masks and class names, in the same order."""

    class_ids: Int64Array
    scores: Float32Array
    boxes_xyxy: Float32Array
    rle: list[RleMask]
    labels: list[str]


@dataclass(frozen=True)
class Edits:
    """The lists `boxes` and `masks` of a result, as hpip created them and in their current state.

    Attributes:
        made_boxes: the dicts that hpip created, in the order of the instances.
        boxes: the current list: dicts of hpip, edited or not, and dicts of the caller.
        made_masks: the arrays that hpip created; None if the caller assigned its own list.
        masks: the current list; None if it was never accessed or assigned.
    """

    made_boxes: Sequence[Box]
    boxes: Sequence[Mapping[str, Any]]
    made_masks: Sequence[UInt8Array] | None = None
    masks: Sequence[UInt8Array] | None = None


def check_boxes(value: Any) -> list[Any]:
    """Validate a value that is assigned to `boxes`, and return it as a list.

    Raises:
        InvalidInputError: the value is not a list of dicts.
    """
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        boxes = value if isinstance(value, list) else list(value)
        if all(isinstance(box, Mapping) for box in boxes):
            return boxes
    raise InvalidInputError(
        "boxes: expected a list of dicts with the keys cls_id, label, score and coordinate;"
        f" received {type(value).__name__}. Assign such a list; an empty one removes all instances."
    )


def check_masks(value: Any) -> list[UInt8Array]:
    """Validate a value that is assigned to `masks`, and return it as a list of arrays.

    Raises:
        InvalidInputError: the value is not a list of 2-D arrays of numbers.
    """
    if not isinstance(value, Iterable):
        raise InvalidInputError(
            f"masks: expected a list of 2-D arrays; received {type(value).__name__}. Assign one"
            " mask per box."
        )
    masks = [np.asarray(mask) for mask in value]
    for i, mask in enumerate(masks):
        if mask.ndim != 2 or mask.dtype.kind not in "biuf" or not mask.size:
            raise InvalidInputError(
                f"masks[{i}]: expected a 2-D array of numbers; received {mask.dtype} of shape"
                f" {mask.shape}. Assign one (H, W) array per box."
            )
    return masks


def apply_edits(
    original: InstanceArrays, edits: Edits, image_hw: tuple[int, int], *, full_image_masks: bool
) -> InstanceArrays:
    """Return the instances that the edited lists describe.

    A dict that hpip created keeps its mask at any position in the list. A dict of the caller
    replaces the box at the same position if the number of boxes has not changed; otherwise it
    replaces the only box with the same coordinate. Deleted keys keep their value. If the list of
    masks was changed too, each box has the mask at its own position.

    Raises:
        InvalidInputError: a box or mask is not valid, or its instance is ambiguous.
    """
    new_masks = edits.masks is not None and not _same_items(edits.masks, edits.made_masks or ())
    indices = _instances_of(edits, needed=not new_masks)
    height, width = image_hw
    class_ids, scores, boxes, labels = [], [], [], []
    for i, (box, index) in enumerate(zip(edits.boxes, indices, strict=True)):
        class_ids.append(_class_id(box, original, index, i))
        scores.append(_score(box, original, index, i))
        boxes.append(_coordinate(box, original, index, i))
        labels.append(str(box["label"] if "label" in box else _value(original.labels, index, i)))
    boxes_xyxy = np.array(boxes, np.float64).reshape(-1, 4).clip(0, [width, height] * 2)
    return InstanceArrays(
        np.array(class_ids, np.int64),
        np.array(scores, np.float32),
        boxes_xyxy.astype(np.float32),
        _MaskEncoder(original, edits, image_hw, full_image_masks).encode(
            indices, boxes_xyxy, new_masks
        ),
        labels,
    )


class _MaskEncoder:
    """Encodes the current masks as RLE."""

    def __init__(
        self,
        original: InstanceArrays,
        edits: Edits,
        image_hw: tuple[int, int],
        full_image_masks: bool,
    ) -> None:
        self._original = original.rle
        self._made = {id(mask): i for i, mask in enumerate(edits.made_masks or ())}
        self._now = edits.masks
        self._image_hw = image_hw
        self._full_image_masks = full_image_masks

    def encode(
        self, indices: Sequence[int | None], boxes_xyxy: AnyArray, new_masks: bool
    ) -> list[RleMask]:
        """Encode one mask per box; `indices` are the original instances of the boxes."""
        if self._now is None:
            return [self._original[index] for index in indices if index is not None]
        if not new_masks:
            masks = [self._now[index] for index in indices if index is not None]
        elif len(self._now) == len(indices):
            masks = list(self._now)
        else:
            raise InvalidInputError(
                f"masks: expected one for each of {len(indices)} boxes; received"
                f" {len(self._now)}. Change both lists in the same way."
            )
        return [
            self._encode_one(i, mask, self._made.get(id(mask), indices[i]), boxes_xyxy[i])
            for i, mask in enumerate(masks)
        ]

    def _encode_one(
        self, i: int, mask: UInt8Array, index: int | None, box_xyxy: AnyArray
    ) -> RleMask:
        (mask,) = check_masks([mask])
        hw = (mask.shape[0], mask.shape[1])
        old = None if index is None else self._original[index]
        if hw == self._image_hw or self._full_image_masks:
            offset_yx = 0, 0
        elif old is not None and old.crop_hw == hw:
            offset_yx = old.offset_yx
        else:
            offset_yx = round(float(box_xyxy[1])), round(float(box_xyxy[0]))
        if offset_yx[0] + hw[0] > self._image_hw[0] or offset_yx[1] + hw[1] > self._image_hw[1]:
            raise InvalidInputError(
                f"masks[{i}]: expected a mask of the box or of the whole"
                f" {self._image_hw[0]}x{self._image_hw[1]} image; received {hw[0]}x{hw[1]} pixels,"
                f" which exceed the image from row {offset_yx[0]}, column {offset_yx[1]}. Crop the"
                " mask to the box, or pass a mask of the whole image."
            )
        counts = ops.encode_rle(np.ascontiguousarray(mask != 0, np.uint8))
        if old is not None and counts == self._counts_of(old, hw):
            return old
        return RleMask(counts, hw, offset_yx)

    def _counts_of(self, old: RleMask, hw: tuple[int, int]) -> bytes | None:
        """The RLE of an original mask, in the size in which hpip returned it."""
        if old.crop_hw == hw:
            return old.counts
        if hw == self._image_hw:
            return ops.merge_rle(old.counts, old.crop_hw, old.offset_yx, hw)
        return None


def _same_items(now: Sequence[Any], before: Sequence[Any]) -> bool:
    return len(now) == len(before) and all(a is b for a, b in zip(now, before, strict=True))


def _instances_of(edits: Edits, *, needed: bool) -> list[int | None]:
    """The index of each box's original instance; None for a new box that has its own mask."""
    places = {id(box): i for i, box in enumerate(edits.made_boxes)}
    found = [places.get(id(box)) for box in edits.boxes]
    if None not in found:
        return found
    if len(edits.boxes) == len(edits.made_boxes) and all(
        index in (None, i) for i, index in enumerate(found)
    ):
        return list(range(len(found)))
    taken = {index for index in found if index is not None}
    for i, box in enumerate(edits.boxes):
        if found[i] is None:
            alike = [
                j
                for j, made in enumerate(edits.made_boxes)
                if j not in taken and _has_coordinate_of(box, made)
            ]
            if len(alike) == 1:
                found[i] = alike[0]
                taken.add(alike[0])
            elif needed:
                raise InvalidInputError(
                    f"boxes[{i}]: it is a new dict, and its mask is ambiguous. Edit the dicts in"
                    ' r["boxes"] instead of replacing them, or also assign r["masks"] with one mask'
                    " per box."
                )
    return found


def _has_coordinate_of(box: Mapping[str, Any], made: Box) -> bool:
    try:
        return bool(list(map(float, box["coordinate"])) == made["coordinate"])
    except (KeyError, TypeError, ValueError):
        return False


def _value(values: Any, index: int | None, i: int) -> Any:
    if index is None:
        raise InvalidInputError(
            f"boxes[{i}]: expected the keys cls_id, label, score and coordinate of a new box;"
            " received a dict without one of them. Add the missing key."
        )
    return values[index]


def _class_id(box: Mapping[str, Any], original: InstanceArrays, index: int | None, i: int) -> int:
    ids = [box[key] for key in ("cls_id", "class_id") if key in box]
    if index is not None:
        # Boxes of SOLOv2 have both keys: the edited one takes precedence.
        ids = [one for one in ids if one != original.class_ids[index]] or ids
    value = ids[0] if ids else _value(original.class_ids, index, i)
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"boxes[{i}]: cls_id: expected a whole number; received {value!r}. Correct the box."
        ) from error


def _score(box: Mapping[str, Any], original: InstanceArrays, index: int | None, i: int) -> float:
    value = box["score"] if "score" in box else _value(original.scores, index, i)
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"boxes[{i}]: score: expected a number; received {value!r}. Correct the box."
        ) from error


def _coordinate(
    box: Mapping[str, Any], original: InstanceArrays, index: int | None, i: int
) -> list[float]:
    value = box["coordinate"] if "coordinate" in box else _value(original.boxes_xyxy, index, i)
    try:
        sides = [float(side) for side in value]
    except (TypeError, ValueError):
        sides = []
    if len(sides) != 4 or not np.isfinite(sides).all():
        raise InvalidInputError(
            f"boxes[{i}]: coordinate: expected four finite numbers (x0, y0, x1, y1); received"
            f" {value!r}. Correct the box."
        )
    return sides
