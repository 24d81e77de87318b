# SPDX-License-Identifier: Apache-2.0
"""Computes mask AP and box AP of any contender."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hpip.ops as ops
from hpip.bench.entry import Entry
from hpip.bench.predictions import ContenderPrediction
from hpip.bench.subject import Subject
from hpip.evaluation import CocoDataset
from hpip.evaluation.categories import CategoryMapping, map_categories
from hpip.evaluation.dataset import DatasetImage
from hpip.evaluation.run import DEFAULT_THRESHOLD
from hpip.evaluation.scores import score_detections


def fill_average_precision(
    entry: Entry, subject: Subject, dataset: CocoDataset, images_dir: Path
) -> None:
    """Run a contender on every image of a dataset, and store mask AP and box AP in its row.

    Raises:
        ContenderError: the contender failed and was closed.
        DatasetError: the dataset's categories do not match the model's labels.
    """
    categories = map_categories(subject.spec.labels, dataset.categories)
    paths = [(images_dir / image.file_name).resolve() for image in dataset.images]
    predictions = entry.predict(paths, DEFAULT_THRESHOLD)
    records = [
        record
        for image, prediction in zip(dataset.images, predictions, strict=True)
        for record in _records(image, prediction, categories)
    ]
    masks = score_detections(dataset, records, "masks", threshold=DEFAULT_THRESHOLD)
    boxes = score_detections(dataset, records, "boxes", threshold=DEFAULT_THRESHOLD)
    entry.row.mask_ap, entry.row.box_ap = masks.metrics["AP"], boxes.metrics["AP"]


def _records(
    image: DatasetImage, prediction: ContenderPrediction, categories: CategoryMapping
) -> list[dict[str, Any]]:
    """COCO result records of the classes that the dataset has."""
    records = []
    for i, mask in enumerate(prediction.rle):
        category_id = categories.category_ids.get(int(prediction.class_ids[i]))
        if category_id is None or mask is None:
            continue
        x0, y0, x1, y1 = prediction.boxes_xyxy[i].tolist()
        counts = ops.merge_rle(mask.counts, mask.crop_hw, mask.offset_yx, image.image_hw)
        records.append(
            {
                "image_id": image.image_id,
                "category_id": category_id,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "score": float(prediction.scores[i]),
                "segmentation": {"size": list(image.image_hw), "counts": counts.decode("ascii")},
            }
        )
    return records
