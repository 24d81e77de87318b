# SPDX-License-Identifier: Apache-2.0
"""The result of a prediction for one image."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

import hpip.ops as ops
from hpip.common.file_names import file_stem, image_suffix, is_url, taken_stems
from hpip.common.files import WRITABLE_SUFFIXES, encode_image, is_folder, write_atomically
from hpip.common.timing import StageTimes
from hpip.errors import InvalidInputError
from hpip.results.drawing import draw_instances
from hpip.results.label_text import require_pillow
from hpip.results.polygons import trace_outlines
from hpip.results.result_edits import InstanceArrays
from hpip.results.result_mapping import EditableInstances
from hpip.types import Float32Array, Int64Array, RleMask, UInt8Array

_KEYS = ("input_path", "page_index", "input_img", "boxes", "masks")
_EMPTY_MASK = RleMask(ops.encode_rle(np.zeros((1, 1), np.uint8)), (1, 1), (0, 0))


class InstanceSegResult(EditableInstances):
    """The instances of one image.

    The result is a dict with PaddleX's keys: `input_path` (also readable by its older name
    `img_path`, which `keys()` does not list), `page_index`, `input_img`, `boxes` and `masks`. Masks
    are stored as RLE; the first access to `r["masks"]` decodes and keeps all of them.

    The dict can be edited. Changed, filtered, added or reordered boxes, and replaced masks, take
    effect in drawings, printed and saved results, and in `scores`, `rle` and the other attributes.
    Additional keys become part of the JSON. `boxes` can't be deleted; without `masks`, drawings
    show only boxes.

    Args:
        input_path: path or URL of the image; None for an array.
        page_index: page of a PDF or TIFF, from 0; None for anything else.
        image: (H, W, 3) BGR; not copied.
        class_ids: (N,)
        scores: (N,)
        boxes_xyxy: (N, 4) in image pixels, half-open, clipped to the image.
        masks: N masks, each of a crop that lies inside the image.
        labels: N class names.
        full_image_masks: `r["masks"]` have the size of the image, as in PaddleX for SOLOv2, instead
            of the size of their crops.
        name: stem of the file names if there is no path.
        stage_times: latency of each stage; not part of the JSON.
        subfolder: folder of the input relative to the given directory; not part of the JSON.
        font_path: default font of the labels for `draw` and `save_to_img`.

    Raises:
        InvalidInputError: lengths, shapes or dtypes are inconsistent, or a crop exceeds the image.
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
        subfolder: str = "",
        font_path: Path | None = None,
    ) -> None:
        super().__init__(
            input_path=input_path,
            page_index=page_index,
            image=image,
            instances=InstanceArrays(class_ids, scores, boxes_xyxy, list(masks), list(labels)),
            full_image_masks=full_image_masks,
        )
        self.name = name
        self.stage_times = stage_times or StageTimes()
        self.subfolder = subfolder
        self.font_path = font_path
        self._token = ""

    def __repr__(self) -> str:
        page = "" if self.page_index is None else f", page {self.page_index}"
        return f"<InstanceSegResult of {self.input_path}{page}: {len(self._box_list())} instances>"

    def polygons(self, tolerance_px: float = 0.0) -> list[list[Float32Array]]:
        """Polygons of every instance, one flat array [x0, y0, x1, y1, ...] per component.

        Coordinates are as in COCO: pixel (x, y) is the square from (x, y) to (x + 1, y + 1), and
        vertices lie on the corners of pixels. Holes are filled.

        Args:
            tolerance_px: maximum distance between a simplified boundary and the exact one; 0 is
                exact, and 1 needs far fewer points.
        """
        return [
            trace_outlines(
                ops.decode_rle(mask.counts, mask.crop_hw), mask.offset_yx, tolerance_px=tolerance_px
            )
            for mask in self.rle
        ]

    def to_coco(
        self, image_id: int, category_ids: Mapping[int, int] | Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        """Convert to COCO result records, for JSON and for `COCO.loadRes`.

        Segmentations are RLEs of the whole image. If a record has a `bbox`, pycocotools computes
        the instance's area from it; remove `bbox` to evaluate masks by their own area.

        Args:
            image_id: id of the image in the dataset.
            category_ids: the dataset's category id of every class id; None if they are equal.

        Raises:
            InvalidInputError: `category_ids` does not contain a class of this result.
        """
        records = []
        now = self._instances()
        for i, mask in enumerate(now.rle):
            x0, y0, x1, y1 = now.boxes_xyxy[i].tolist()
            counts = ops.merge_rle(mask.counts, mask.crop_hw, mask.offset_yx, self.image_hw)
            records.append(
                {
                    "image_id": image_id,
                    "category_id": _category_id(int(now.class_ids[i]), category_ids),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": float(now.scores[i]),
                    "segmentation": {"size": list(self.image_hw), "counts": counts.decode("ascii")},
                }
            )
        return records

    def draw(self, *, alpha: float = 0.5, font_path: str | Path | None = None) -> UInt8Array:
        """Draw the instances on a copy of the image, (H, W, 3) BGR; see `draw_instances`."""
        now = self._instances()
        return draw_instances(
            self.image,
            masks=now.rle if "masks" in self else [_EMPTY_MASK] * len(now.rle),
            boxes_xyxy=now.boxes_xyxy,
            class_ids=now.class_ids,
            labels=now.labels,
            scores=now.scores,
            alpha=alpha,
            font_path=font_path or self.font_path,
        )

    @property
    def img(self) -> dict[str, Any]:
        """`{"res": image}`: the drawing as an RGB `PIL.Image.Image`.

        Raises:
            BackendUnavailableError: Pillow or OpenCV is not installed.
        """
        pil = require_pillow("a result's `img`")
        return {"res": pil.Image.fromarray(np.ascontiguousarray(self.draw()[:, :, ::-1]))}

    @property
    def json(self) -> dict[str, dict[str, Any]]:
        """`{"res": ...}` in types that JSON supports, without the image.

        Each item of `masks` is the RLE of the same item of `r["masks"]`: its `size` (height,
        width), COCO `counts`, and `offset_yx`, the position of its top left pixel in the image. The
        size of the image is `image_hw`.
        """
        content = self._content({"image_hw": list(self.image_hw)})
        if "masks" in self:
            content["masks"] = [self._json_mask(mask) for mask in self.rle]
        return {"res": cast("dict[str, Any]", _plain(content))}

    def _content(self, more: dict[str, Any]) -> dict[str, Any]:
        """The existing keys without image and masks; `more` follows PaddleX's first two keys."""
        first = {key: self[key] for key in ("input_path", "page_index") if key in self}
        own = {key: self[key] for key in self if key not in _KEYS}
        return {**first, **more, "boxes": self._box_list(), **own}

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
        """Print the result to stdout, with "..." in place of the masks.

        Args:
            json_format: print JSON instead of a Python literal.
            indent: indentation of the JSON, in spaces.
            ensure_ascii: escape non-ASCII characters in the JSON.
            format_json: alias of `json_format`, as in PaddleX's documentation.
        """
        content = {"res": self._content({})}
        if "masks" in self:
            content["res"]["masks"] = "..."
        if json_format if format_json is None else format_json:
            text = _json_text(_plain(content), indent, ensure_ascii)
        else:
            text = str(content)
        _print(text)

    @property
    def stem(self) -> str:
        """Stem of this result's file names: the input's stem, with the suffix `_<page>` for a page.

        For an input without a path, it is `name`, or else a random name that does not change.
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
        """Draw the result and save the image.

        Args:
            save_path: a file, if it has the suffix of an image format; otherwise a folder for
                `<stem>_res<suffix>`, with the input's suffix if that format can be written, or else
                `.png`. Missing folders are created.
            stem: stem to use instead of `self.stem`; `save_path` is then a folder.
            alpha: see `draw`.
            font_path: see `draw`.

        Returns:
            The path of the file.

        Raises:
            InvalidInputError: the suffix is not that of an image format, or the image is too large
                for the format.
            SaveError: the file can't be written.
            BackendUnavailableError: OpenCV is not installed.
        """
        path = self._target(save_path, image_suffix(self.input_path), WRITABLE_SUFFIXES, stem)
        drawing = self.draw(alpha=alpha, font_path=font_path)
        write_atomically(path, encode_image(drawing, path.suffix))
        return path

    def save_to_json(
        self,
        save_path: str | os.PathLike[str],
        indent: int | None = 4,
        ensure_ascii: bool = False,
        *,
        stem: str | None = None,
    ) -> Path:
        """Save the value of `json["res"]`.

        Args:
            save_path: a `.json` file; otherwise a folder for `<stem>_res.json`. Missing folders are
                created.
            indent: indentation in spaces; None for a single line.
            ensure_ascii: escape non-ASCII characters.
            stem: stem to use instead of `self.stem`; `save_path` is then a folder.

        Returns:
            The path of the file.

        Raises:
            InvalidInputError: the suffix is not `.json`.
            SaveError: the file can't be written.
        """
        path = self._target(save_path, ".json", (".json",), stem)
        write_atomically(path, _json_text(self.json["res"], indent, ensure_ascii).encode())
        return path

    def save_all(
        self, save_path: str | os.PathLike[str], *, stem: str | None = None
    ) -> tuple[Path, Path]:
        """Save JSON and drawing into the folder `save_path`; return their paths in this order."""
        folder = save_path if stem is not None else os.path.join(save_path, "")  # noqa: PTH118
        return self.save_to_json(folder, stem=stem), self.save_to_img(folder, stem=stem)

    def _target(
        self,
        save_path: str | os.PathLike[str],
        suffix: str,
        suffixes: tuple[str, ...],
        stem: str | None,
    ) -> Path:
        """The file to write for `save_path`; in a folder, its name is unique to this input."""
        path = Path(save_path)
        if stem is None:
            if not is_folder(save_path, suffixes):
                return path
            path_or_url = self.input_path or ""
            owner = path_or_url if is_url(path_or_url) else os.path.abspath(path_or_url)  # noqa: PTH100
            if not path_or_url:
                owner = self._token = self._token or uuid.uuid4().hex
            stem = taken_stems.take(path, self.stem, f"{owner}\0{self.page_index}")
        return path / f"{stem}_res{suffix}"


def _category_id(class_id: int, category_ids: Mapping[int, int] | Sequence[int] | None) -> int:
    if category_ids is None:
        return class_id
    try:
        return category_ids[class_id]
    except LookupError as error:
        raise InvalidInputError(
            f"category_ids: expected an entry for class id {class_id}; received"
            f" {len(category_ids)} entries without it. Add the class id."
        ) from error


def _print(text: str) -> None:
    """Print, and escape characters that the console's encoding does not support."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def _plain(value: Any) -> Any:
    """Convert a value to types that JSON supports: users add arrays and NumPy scalars."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _json_text(content: Any, indent: int | None, ensure_ascii: bool) -> str:
    try:
        text = json.dumps(content, indent=indent, ensure_ascii=ensure_ascii)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"a value that was added to the result can't be written as JSON: {error}. Delete its"
            " key, or replace the value."
        ) from error
    # Paths that are not valid UTF-8 contain lone surrogates, which must be escaped.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
