# SPDX-License-Identifier: Apache-2.0
"""Mask and box AP of a contender, whatever it runs in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hpip.ops as ops
from hpip.bench.entry import Entry
from hpip.bench.reference_answers import Answer
from hpip.bench.subject import Subject
from hpip.evaluation import CocoDataset
from hpip.evaluation.categories import CategoryMapping, map_categories
from hpip.evaluation.dataset import DatasetImage
from hpip.evaluation.run import DEFAULT_THRESHOLD
from hpip.evaluation.scores import score_detections


def fill_average_precision(
    entry: Entry, subject: Subject, dataset: CocoDataset, images_dir: Path
) -> None:
    """Predict every image of a dataset and put mask and box AP into the contender's row.

    Raises:
        ContenderError: the contender failed, and is out.
        DatasetError: the dataset does not fit the model's classes.
    """
    categories = map_categories(subject.spec.labels, dataset.categories)
    paths = [(images_dir / image.file_name).resolve() for image in dataset.images]
    answers = entry.answers(paths, DEFAULT_THRESHOLD)
    records = [
        record
        for image, answer in zip(dataset.images, answers, strict=True)
        for record in _records(image, answer, categories)
    ]
    masks = score_detections(dataset, records, "masks", threshold=DEFAULT_THRESHOLD)
    boxes = score_detections(dataset, records, "boxes", threshold=DEFAULT_THRESHOLD)
    entry.row.mask_ap, entry.row.box_ap = masks.metrics["AP"], boxes.metrics["AP"]


def _records(
    image: DatasetImage, answer: Answer, categories: CategoryMapping
) -> list[dict[str, Any]]:
    """COCO's result records of the classes that the dataset has."""
    records = []
    for i, mask in enumerate(answer.rle):
        category_id = categories.category_ids.get(int(answer.class_ids[i]))
        if category_id is None or mask is None:
            continue
        x0, y0, x1, y1 = answer.boxes_xyxy[i].tolist()
        counts = ops.merge_rle(mask.counts, mask.crop_hw, mask.offset_yx, image.image_hw)
        records.append(
            {
                "image_id": image.image_id,
                "category_id": category_id,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "score": float(answer.scores[i]),
                "segmentation": {"size": list(image.image_hw), "counts": counts.decode("ascii")},
            }
        )
    return records
