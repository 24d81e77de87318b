# SPDX-License-Identifier: Apache-2.0
"""What a prediction gives back for one image."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import hpip.ops as ops
from hpip.common.file_names import file_stem, image_suffix
from hpip.common.files import WRITABLE_SUFFIXES, encode_image, target_file, write_atomically
from hpip.common.timing import StageTimes
from hpip.errors import InvalidInputError
from hpip.results.drawing import draw_instances
from hpip.results.label_text import require_pillow
from hpip.results.polygons import trace_outlines
from hpip.types import AnyArray, Float32Array, Int64Array, RleMask, UInt8Array

_KEYS = ("input_path", "page_index", "input_img", "boxes", "masks")


class InstanceSegResult(Mapping[str, Any]):
    """The instances of one image.

    It is a mapping with PaddleX's keys: `input_path` (also under `img_path`, its older name, which
    is not listed), `page_index`, `input_img`, `boxes` and `masks`. Masks are held as run-length
    codes; `r["masks"]` decodes all of them at every access and keeps none, so take the list once.

    The constructor's arguments are attributes too, `masks` under the name `rle`; arrays are the
    caller's, not copies.

    Args:
        input_path: where the image came from: a path or URL; None for an array.
        page_index: page of a PDF or TIFF, from 0; None for anything else.
        image: (H, W, 3) BGR.
        class_ids: (N,)
        scores: (N,)
        boxes_xyxy: (N, 4), clipped to the image, in its pixels, half-open.
        masks: N run-length codes, each of a crop that lies inside the image.
        labels: N class names.
        full_image_masks: `r["masks"]` are as large as the image, as PaddleX has them for SOLOv2,
            not crops.
        name: stem of the files' names where there is no path.
        stage_times: where the time went; not part of the JSON.

    Raises:
        InvalidInputError: lengths, shapes or dtypes don't agree, or a crop leaves the image.
    """

    def __init__(
        self,
        *,
        input_path: str | None,
        page_index: int | None,
        image: UInt8Array,
        class_ids: Int64Array,
        scores: Float32Array,
        boxes_xyxy: Float32Array,
        masks: Sequence[RleMask],
        labels: Sequence[str],
        full_image_masks: bool = False,
        name: str | None = None,
        stage_times: StageTimes | None = None,
    ) -> None:
        self.input_path = input_path
        self.page_index = page_index
        self.image = image
        self.class_ids = class_ids
        self.scores = scores
        self.boxes_xyxy = boxes_xyxy
        self.rle = list(masks)
        self.labels = list(labels)
        self.full_image_masks = full_image_masks
        self.name = name
        self.stage_times = stage_times or StageTimes()
        self._check()

    def _check(self) -> None:
        count = len(self.rle)
        arrays: dict[str, tuple[AnyArray, type[np.generic], tuple[int, ...]]] = {
            "image": (self.image, np.uint8, (*self.image.shape[:2], 3)),
            "class_ids": (self.class_ids, np.int64, (count,)),
            "scores": (self.scores, np.float32, (count,)),
            "boxes_xyxy": (self.boxes_xyxy, np.float32, (count, 4)),
        }
        for name, (array, dtype, shape) in arrays.items():
            if array.dtype != dtype or array.shape != shape:
                raise InvalidInputError(
                    f"{name}: expected {np.dtype(dtype).name} of shape {shape} for {count} masks,"
                    f" received {array.dtype.name} of shape {array.shape}"
                )
        if len(self.labels) != count:
            raise InvalidInputError(
                f"labels: expected one for each of {count} masks, received {len(self.labels)}"
            )
        height, width = self.image_hw
        for i, mask in enumerate(self.rle):
            (y, x), (crop_height, crop_width) = mask.offset_yx, mask.crop_hw
            if min(y, x) < 0 or y + crop_height > height or x + crop_width > width:
                raise InvalidInputError(
                    f"masks[{i}]: expected a crop of the {height}x{width} image, received"
                    f" {crop_height}x{crop_width} pixels at row {y}, column {x}"
                )

    @property
    def image_hw(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.image.shape[0], self.image.shape[1]

    def __getitem__(self, key: str) -> Any:
        match key:
            case "input_path" | "img_path":
                return self.input_path
            case "page_index":
                return self.page_index
            case "input_img":
                return self.image
            case "boxes":
                return self._boxes()
            case "masks":
                take = self.mask if self.full_image_masks else self.crop
                return [take(i) for i in range(len(self.rle))]
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return key in _KEYS or key == "img_path"

    def __iter__(self) -> Iterator[str]:
        return iter(_KEYS)

    def __len__(self) -> int:
        return len(_KEYS)

    # Mapping compares item by item, which has no meaning for arrays.
    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        page = "" if self.page_index is None else f", page {self.page_index}"
        return f"<InstanceSegResult of {self.input_path}{page}: {len(self.rle)} instances>"

    def _boxes(self) -> list[dict[str, Any]]:
        rows = zip(
            self.class_ids.tolist(),
            self.labels,
            self.scores.tolist(),
            self.boxes_xyxy.tolist(),
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

    def crop(self, index: int) -> UInt8Array:
        """One mask of {0, 1} inside its crop, `rle[index].crop_hw` large."""
        mask = self.rle[index]
        return ops.decode_rle(mask.counts, mask.crop_hw)

    def mask(self, index: int) -> UInt8Array:
        """One mask of {0, 1} as large as the image."""
        (y, x), (height, width) = self.rle[index].offset_yx, self.rle[index].crop_hw
        whole = np.zeros(self.image_hw, np.uint8)
        whole[y : y + height, x : x + width] = self.crop(index)
        return whole

    def polygons(self, tolerance_px: float = 0.0) -> list[list[Float32Array]]:
        """Outlines of every instance, one flat array [x0, y0, x1, y1, ...] per connected part.

        Coordinates are those of COCO's polygons: pixel (x, y) reaches from (x, y) to
        (x + 1, y + 1), and vertices lie on corners of pixels. Holes are filled.

        Args:
            tolerance_px: how far a simplified outline may stray; 0 is exact, and 1 needs a small
                part of the points.
        """
        return [
            trace_outlines(self.crop(i), mask.offset_yx, tolerance_px=tolerance_px)
            for i, mask in enumerate(self.rle)
        ]

    def to_coco(
        self, image_id: int, category_ids: Mapping[int, int] | Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        """COCO result records, ready for JSON and for `COCO.loadRes`.

        Segmentations are run-length codes of the whole image. pycocotools takes an instance's area
        from `bbox` when that is there: remove it before masks are evaluated by size.

        Args:
            image_id: the image's id in the dataset.
            category_ids: the dataset's category of every class id; None where they are the same.

        Raises:
            InvalidInputError: `category_ids` lacks a class of this result.
        """
        records = []
        for i, mask in enumerate(self.rle):
            x0, y0, x1, y1 = self.boxes_xyxy[i].tolist()
            counts = ops.merge_rle(mask.counts, mask.crop_hw, mask.offset_yx, self.image_hw)
            records.append(
                {
                    "image_id": image_id,
                    "category_id": _category_id(int(self.class_ids[i]), category_ids),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": float(self.scores[i]),
                    "segmentation": {"size": list(self.image_hw), "counts": counts.decode("ascii")},
                }
            )
        return records

    def draw(self, *, alpha: float = 0.5, font_path: str | Path | None = None) -> UInt8Array:
        """(H, W, 3) BGR copy of the image with the instances; see `drawing.draw_instances`."""
        return draw_instances(
            self.image,
            masks=self.rle,
            boxes_xyxy=self.boxes_xyxy,
            class_ids=self.class_ids,
            labels=self.labels,
            scores=self.scores,
            alpha=alpha,
            font_path=font_path,
        )

    @property
    def img(self) -> dict[str, Any]:
        """`{"res": picture}`: the drawing as an RGB `PIL.Image.Image`.

        Raises:
            BackendUnavailableError: Pillow or OpenCV is missing.
        """
        pil = require_pillow("a result's `img`")
        return {"res": pil.Image.fromarray(np.ascontiguousarray(self.draw()[:, :, ::-1]))}

    @property
    def json(self) -> dict[str, dict[str, Any]]:
        """`{"res": ...}` in types that JSON knows, without the image.

        Each of `masks` is the run-length code of the same of `r["masks"]`: `size` (height, width),
        COCO's `counts`, and as `offset_yx` the place of its top left pixel in the image, whose size
        is `image_hw`.
        """
        return {
            "res": {
                "input_path": self.input_path,
                "page_index": self.page_index,
                "image_hw": list(self.image_hw),
                "boxes": self._boxes(),
                "masks": [self._json_mask(mask) for mask in self.rle],
            }
        }

    def _json_mask(self, mask: RleMask) -> dict[str, Any]:
        counts, size, offset_yx = mask.counts, mask.crop_hw, mask.offset_yx
        if self.full_image_masks:
            counts = ops.merge_rle(counts, size, offset_yx, self.image_hw)
            size, offset_yx = self.image_hw, (0, 0)
        return {"size": list(size), "counts": counts.decode("ascii"), "offset_yx": list(offset_yx)}

    def print(
        self,
        json_format: bool = False,
        indent: int = 4,
        ensure_ascii: bool = False,
        *,
        format_json: bool | None = None,
    ) -> None:
        """Print the result to stdout, with "..." for the masks.

        Args:
            json_format: print JSON rather than a Python literal.
            indent: JSON's, in spaces.
            ensure_ascii: escape every other character in JSON.
            format_json: `json_format` by the name that PaddleX's documentation uses.
        """
        content = {
            "res": {
                "input_path": self.input_path,
                "page_index": self.page_index,
                "boxes": self._boxes(),
                "masks": "...",
            }
        }
        if json_format if format_json is None else format_json:
            print(_json_text(content, indent, ensure_ascii))
        else:
            print(content)

    @property
    def stem(self) -> str:
        """What this result's file names begin with: the input's stem, and `_<page>` for a page.

        Without an input's name it is `name`, or a random one, which this result keeps.
        """
        if stem := file_stem(self.input_path, self.page_index):
            return stem
        self.name = self.name or f"image_{uuid.uuid4().hex[:12]}"
        return self.name

    def save_to_img(
        self,
        save_path: str | os.PathLike[str],
        *,
        stem: str | None = None,
        alpha: float = 0.5,
        font_path: str | Path | None = None,
    ) -> Path:
        """Draw the result and save the picture.

        Args:
            save_path: a file, if its suffix is one of a picture; else a folder for
                `<stem>_res<suffix>`, with the input's suffix where that can be written, or `.png`.
                Missing folders are made.
            stem: stem to use instead of `self.stem`; `save_path` is then a folder.
            alpha: see `draw`.
            font_path: see `draw`.

        Returns:
            The file.

        Raises:
            InvalidInputError: a suffix that is not a picture's, or a picture too large for it.
            SaveError: the file system refuses.
            BackendUnavailableError: OpenCV is missing.
        """
        name = f"{self.stem if stem is None else stem}_res{image_suffix(self.input_path)}"
        path = target_file(save_path, name, WRITABLE_SUFFIXES, is_folder=stem is not None)
        picture = self.draw(alpha=alpha, font_path=font_path)
        write_atomically(path, encode_image(picture, path.suffix))
        return path

    def save_to_json(
        self,
        save_path: str | os.PathLike[str],
        indent: int | None = 4,
        ensure_ascii: bool = False,
        *,
        stem: str | None = None,
    ) -> Path:
        """Save what `json` holds under "res".

        Args:
            save_path: a `.json` file, else a folder for `<stem>_res.json`; made where missing.
            indent: JSON's, in spaces; None puts all on one line.
            ensure_ascii: escape every other character.
            stem: stem to use instead of `self.stem`; `save_path` is then a folder.

        Returns:
            The file.

        Raises:
            InvalidInputError: another suffix than `.json`.
            SaveError: the file system refuses.
        """
        name = f"{self.stem if stem is None else stem}_res.json"
        path = target_file(save_path, name, (".json",), is_folder=stem is not None)
        write_atomically(path, _json_text(self.json["res"], indent, ensure_ascii).encode())
        return path

    def save_all(
        self, save_path: str | os.PathLike[str], *, stem: str | None = None
    ) -> tuple[Path, Path]:
        """Save JSON and picture, in this order, into the folder `save_path`; their paths."""
        stem = self.stem if stem is None else stem
        return self.save_to_json(save_path, stem=stem), self.save_to_img(save_path, stem=stem)


def _category_id(class_id: int, category_ids: Mapping[int, int] | Sequence[int] | None) -> int:
    if category_ids is None:
        return class_id
    try:
        return category_ids[class_id]
    except LookupError as error:
        raise InvalidInputError(
            f"category_ids: expected an entry for class id {class_id}, received"
            f" {len(category_ids)} entries without it"
        ) from error


def _json_text(content: Any, indent: int | None, ensure_ascii: bool) -> str:
    text = json.dumps(content, indent=indent, ensure_ascii=ensure_ascii)
    # Paths that are not valid UTF-8 hold lone surrogates, which only an escape can carry.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
