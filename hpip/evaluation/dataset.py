# SPDX-License-Identifier: Apache-2.0
"""Reads, validates and normalizes a COCO annotation file."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hpip.ops as ops
from hpip.errors import DatasetError, InvalidInputError
from hpip.evaluation._pycocotools import require_pycocotools
from hpip.inference.arguments import check_count

_SECTIONS = ("images", "annotations", "categories")


@dataclass(frozen=True)
class DatasetImage:
    """One entry of the `images` list."""

    image_id: int
    file_name: str
    image_hw: tuple[int, int]


@dataclass(frozen=True)
class CocoDataset:
    """The ground truth: images, categories and annotations.

    Attributes:
        path: the annotation file.
        images: in the order of the file.
        categories: names by category id.
        annotations: COCO annotations in the order of the file. Ids count from 1, segmentations
            are compressed RLE, and `bbox`, `area` and `iscrowd` are always present.
    """

    path: Path
    images: tuple[DatasetImage, ...]
    categories: Mapping[int, str]
    annotations: tuple[Mapping[str, Any], ...]

    def to_coco(self) -> dict[str, Any]:
        """Content of an annotation file, in new dicts: pycocotools modifies its input."""
        return {
            "info": {},
            "licenses": [],
            "images": [
                {
                    "id": image.image_id,
                    "file_name": image.file_name,
                    "height": image.image_hw[0],
                    "width": image.image_hw[1],
                }
                for image in self.images
            ],
            "annotations": [dict(annotation) for annotation in self.annotations],
            "categories": [{"id": id, "name": name} for id, name in self.categories.items()],
        }


def load_dataset(
    annotations: str | os.PathLike[str], *, max_images: int | None = None
) -> CocoDataset:
    """Read a COCO annotation file.

    A missing `iscrowd` becomes 0; a missing `bbox` or `area` is computed from the segmentation.
    Annotations are renumbered from 1, because pycocotools always counts an instance with the id 0
    as missed.

    Args:
        annotations: path of the JSON file.
        max_images: read only the first `max_images` images; None reads all.

    Raises:
        DatasetError: the file can't be read, is not an annotation file, has an invalid entry, or
            has only crowds.
        InvalidInputError: `max_images` is not a positive integer.
        BackendUnavailableError: pycocotools is not installed.
    """
    if max_images is not None:
        check_count(max_images, "max_images")
    reader = _Reader(Path(annotations))
    images = reader.images()
    kept = images[:max_images]
    dataset = CocoDataset(
        path=reader.path,
        images=tuple(kept),
        categories=reader.categories(),
        annotations=tuple(
            reader.annotations(images, {image.image_id for image in kept}),
        ),
    )
    if all(annotation["iscrowd"] for annotation in dataset.annotations):
        raise DatasetError(
            f"{reader.path}: expected at least one annotation that is not a crowd in the"
            f" {len(kept)} evaluated images; received none"
        )
    return dataset


class _Reader:
    """Reads the sections of one file; every error names the file and the entry."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._masks = require_pycocotools().mask
        content = _read_json(path)
        if not isinstance(content, dict) or not all(
            isinstance(content.get(section), list) for section in _SECTIONS
        ):
            received = sorted(content) if isinstance(content, dict) else type(content).__name__
            raise DatasetError(
                f"{path}: expected a COCO annotation file, which is an object with the lists"
                f" {', '.join(_SECTIONS)}; received {received}. Give the file of the ground truth,"
                " not of detections."
            )
        self._content: dict[str, list[Any]] = content

    def images(self) -> list[DatasetImage]:
        """All images of the file; at least one."""
        images = []
        for index, entry in enumerate(self._content["images"]):
            where = f"images[{index}]"
            file_name = self._field(where, entry, "file_name")
            if not isinstance(file_name, str) or not file_name:
                raise self._wrong(where, "a file_name", file_name)
            hw = tuple(self._integer(where, entry, key, at_least=1) for key in ("height", "width"))
            images.append(
                DatasetImage(self._integer(where, entry, "id"), file_name, (hw[0], hw[1]))
            )
        if not images:
            raise self._wrong("images", "at least one", "none")
        self._expect_unique("images: ids", [image.image_id for image in images])
        self._expect_unique("images: file names", [image.file_name for image in images])
        return images

    def categories(self) -> dict[int, str]:
        """Category names by id, sorted by id."""
        categories = []
        for index, entry in enumerate(self._content["categories"]):
            where = f"categories[{index}]"
            name = self._field(where, entry, "name")
            if not isinstance(name, str):
                raise self._wrong(where, "a name", name)
            categories.append((self._integer(where, entry, "id"), name))
        self._expect_unique("categories: ids", [category_id for category_id, _ in categories])
        return dict(sorted(categories))

    def annotations(self, images: list[DatasetImage], wanted: set[int]) -> list[dict[str, Any]]:
        """Annotations of the wanted images; of other annotations only the ids are validated."""
        by_id = {image.image_id: image for image in images}
        category_ids = self.categories()
        annotations: list[dict[str, Any]] = []
        for index, entry in enumerate(self._content["annotations"]):
            where = f"annotations[{index}]"
            image_id = self._integer(where, entry, "image_id")
            category_id = self._integer(where, entry, "category_id")
            if image_id not in by_id:
                raise self._wrong(where, "an image_id that is in images", image_id)
            if category_id not in category_ids:
                raise self._wrong(where, "a category_id that is in categories", category_id)
            if image_id in wanted:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_id,
                        "category_id": category_id,
                        **self._region(where, entry, by_id[image_id].image_hw),
                    }
                )
        return annotations

    def _region(
        self, where: str, entry: Mapping[str, Any], image_hw: tuple[int, int]
    ) -> dict[str, Any]:
        counts = self._counts(where, entry.get("segmentation"), image_hw)
        box = entry.get("bbox")
        area = entry.get("area")
        if box is None:
            box = ops.rle_to_bbox(counts, image_hw)
        elif not _is_numbers(box) or len(box) != 4 or min(box[2:]) < 0:
            raise self._wrong(where, "a bbox of x, y, width and height", box)
        if area is None:
            area = ops.rle_area(counts)
        elif not _is_numbers([area]) or area < 0:
            raise self._wrong(where, "an area of at least 0", area)
        return {
            "segmentation": {"size": list(image_hw), "counts": counts.decode("ascii")},
            "bbox": [float(value) for value in box],
            "area": float(area),
            "iscrowd": 1 if entry.get("iscrowd") else 0,
        }

    def _counts(self, where: str, segmentation: Any, image_hw: tuple[int, int]) -> bytes:
        """Compressed RLE counts of polygons, or of compressed or uncompressed RLE."""
        if isinstance(segmentation, dict):
            return self._checked_counts(where, segmentation, image_hw)
        if (
            not isinstance(segmentation, list)
            or not segmentation
            or not all(_is_numbers(part) and len(part) >= 6 for part in segmentation)
            or any(len(part) % 2 for part in segmentation)
        ):
            raise self._wrong(
                where,
                "a segmentation as RLE or as polygons, each [x0, y0, x1, y1, x2, y2, ...]",
                segmentation,
            )
        parts = self._masks.frPyObjects(segmentation, *image_hw)
        counts: bytes = self._masks.merge(parts)["counts"]
        return counts

    def _checked_counts(
        self, where: str, code: Mapping[str, Any], image_hw: tuple[int, int]
    ) -> bytes:
        counts, size = code.get("counts"), code.get("size")
        if size != list(image_hw):
            raise self._wrong(where, f"RLE of the image's size {image_hw}", size)
        if isinstance(counts, list):
            whole = all(isinstance(run, int) and run >= 0 for run in counts)
            if not whole or sum(counts) != image_hw[0] * image_hw[1]:
                raise self._wrong(
                    where, f"RLE counts that add up to {image_hw[0]} x {image_hw[1]}", counts
                )
            compressed: bytes = self._masks.frPyObjects(code, *image_hw)["counts"]
            return compressed
        if not isinstance(counts, str):
            raise self._wrong(where, "RLE counts as a string or a list", counts)
        try:
            ops.rle_to_bbox(counts, image_hw)
        except InvalidInputError as error:
            raise DatasetError(f"{self.path}: {where}: {error}") from error
        return counts.encode("ascii")

    def _field(self, where: str, entry: Any, key: str) -> Any:
        if not isinstance(entry, dict) or key not in entry:
            raise self._wrong(where, f"an object with {key}", entry)
        return entry[key]

    def _integer(self, where: str, entry: Any, key: str, at_least: int | None = None) -> int:
        value = self._field(where, entry, key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(where, f"an integer as {key}", value)
        if at_least is not None and value < at_least:
            raise self._wrong(where, f"{key} of at least {at_least}", value)
        return value

    def _expect_unique(self, what: str, values: list[Any]) -> None:
        value, count = max(Counter(values).items(), key=lambda item: item[1], default=(None, 0))
        if count > 1:
            raise self._wrong(what, "unique values", f"{value!r} {count} times")

    def _wrong(self, where: str, expected: str, received: Any) -> DatasetError:
        text = received if isinstance(received, str) else repr(received)
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        return DatasetError(f"{self.path}: {where}: expected {expected}; received {shown}")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DatasetError(
            f"{path}: the annotation file can't be read: {error.strerror or error}. Check the path."
        ) from error
    except ValueError as error:
        raise DatasetError(
            f"{path}: expected COCO annotations as JSON; received a file that is damaged,"
            f" truncated or of another type: {error}"
        ) from error


def _is_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        for value in values
    )
