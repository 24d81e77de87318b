# SPDX-License-Identifier: Apache-2.0
"""COCO datasets of coloured rectangles, and pycocotools run on them as its manual says."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SIDE = 128
CATEGORIES = {1: "red", 2: "green", 3: "blue"}

Xyxy = tuple[int, int, int, int]


def polygon(x0: int, y0: int, x1: int, y1: int) -> list[list[int]]:
    """The half-open rectangle as COCO's segmentation."""
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


@dataclass
class CocoFolder:
    """A dataset under construction: pictures and an annotation file in `folder`."""

    folder: Path
    categories: dict[int, str] = field(default_factory=lambda: dict(CATEGORIES))
    images: list[dict[str, Any]] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)

    @property
    def images_dir(self) -> Path:
        return self.folder / "images"

    def picture(self, image: np.ndarray, name: str | None = None) -> int:
        """Save a picture; its id."""
        image_id = 10 * len(self.images) + 7
        name = name or f"{image_id}.png"
        path = self.images_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
        height, width = image.shape[:2]
        self.images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        return image_id

    def instance(self, image_id: int, category: int, xyxy: Xyxy, **changes: Any) -> None:
        """Annotate a rectangle; `changes` replaces fields, and None removes one."""
        x0, y0, x1, y1 = xyxy
        entry = {
            "id": len(self.entries) + 1,
            "image_id": image_id,
            "category_id": category,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
            "iscrowd": 0,
            "segmentation": polygon(*xyxy),
            **changes,
        }
        self.entries.append({key: value for key, value in entry.items() if value is not None})

    def content(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "annotations": self.entries,
            "categories": [{"id": id, "name": name} for id, name in self.categories.items()],
        }

    def write(self) -> Path:
        path = self.folder / "annotations.json"
        path.write_text(json.dumps(self.content()))
        return path


def by_hand(annotations: Path, detections: Path, region: str) -> tuple[list[float], list[float]]:
    """COCOeval's 12 figures and each category's AP, as docs/eval.md tells users to get them."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    records = json.loads(detections.read_text())
    if region == "masks":
        for record in records:
            del record["bbox"]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        scorer = COCOeval(truth, truth.loadRes(records), "segm" if region == "masks" else "bbox")
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    curves = np.moveaxis(scorer.eval["precision"][:, :, :, 0, 2], 2, 0)
    return scorer.stats.tolist(), [
        float(curve[curve > -1].mean()) if (curve > -1).any() else -1.0 for curve in curves
    ]
