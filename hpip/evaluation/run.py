# SPDX-License-Identifier: Apache-2.0
"""Runs a pipeline on a dataset and computes COCO metrics of its detections."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpip.common.files import write_atomically
from hpip.errors import DatasetError
from hpip.evaluation._pycocotools import require_pycocotools
from hpip.evaluation.categories import CategoryMapping, map_categories
from hpip.evaluation.dataset import CocoDataset, DatasetImage, load_dataset
from hpip.evaluation.scores import METRICS, RegionScores, score_detections
from hpip.inference.arguments import check_score_threshold
from hpip.inference.pipeline import InstanceSegPipeline
from hpip.results.result import InstanceSegResult

DEFAULT_THRESHOLD = 0.05


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a pipeline on a dataset.

    Attributes:
        dataset: the ground truth.
        categories: how the model's labels correspond to the dataset's categories.
        threshold: score threshold of the detections.
        detections: COCO result records with `bbox` and `segmentation`.
        failures: (file name, error) of the images without a result. They count as images
            without detections.
        masks: metrics of the masks.
        boxes: metrics of the boxes.
    """

    dataset: CocoDataset
    categories: CategoryMapping
    threshold: float
    detections: tuple[Mapping[str, Any], ...]
    failures: tuple[tuple[str, Exception], ...]
    masks: RegionScores
    boxes: RegionScores

    def to_json(self) -> dict[str, Any]:
        """All metrics as a JSON object; docs/eval.md describes the keys."""
        return {
            "threshold": self.threshold,
            "images": len(self.dataset.images),
            "failed_images": [
                {"file_name": name, "error": str(error)} for name, error in self.failures
            ],
            "instances": sum(one.instances for one in self.masks.classes),
            "detections": len(self.detections),
            "categories": {
                "matched_by": self.categories.matched_by,
                "labels_without_category": list(self.categories.labels_without_category),
                "categories_without_label": list(self.categories.categories_without_label),
            },
            "masks": self.masks.to_json(),
            "boxes": self.boxes.to_json(),
        }

    def save_detections(self, path: Path) -> None:
        """Write the detections in COCO's results format.

        Raises:
            SaveError: the file can't be written.
        """
        write_atomically(path, json.dumps(self.detections).encode())


def evaluate(
    pipeline: InstanceSegPipeline,
    images_dir: str | os.PathLike[str],
    annotations: str | os.PathLike[str] | CocoDataset,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    max_images: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Compute the COCO metrics of a pipeline on a dataset.

    Args:
        pipeline: the result of `hpip.create_pipeline`.
        images_dir: root folder of the file names in the annotations.
        annotations: path of a COCO annotation file, or the result of `load_dataset`.
        threshold: score threshold of the evaluated detections. Lower values give slightly higher
            AP and AR; 0 to 0.05 is usual for COCO.
        max_images: evaluate only the first `max_images` images of the file.
        on_progress: called with the number of finished images, and the number of all images.

    Raises:
        DatasetError: the dataset is damaged or incomplete, or no category matches a label.
        InvalidInputError: an argument is invalid.
        FailedInputsError: no image could be read.
        BackendUnavailableError: pycocotools or OpenCV is not installed.
        BackendError: the engine failed.
    """
    require_pycocotools()
    check_score_threshold(threshold)
    dataset = (
        annotations
        if isinstance(annotations, CocoDataset)
        else load_dataset(annotations, max_images=max_images)
    )
    categories = map_categories(pipeline.predictors[0].spec.labels, dataset.categories)
    run = _Run(dataset, Path(images_dir), categories, on_progress)
    run.detect(pipeline, threshold)
    return Evaluation(
        dataset=dataset,
        categories=categories,
        threshold=threshold,
        detections=tuple(run.detections),
        failures=tuple(run.failures.items()),
        masks=score_detections(dataset, run.detections, "masks", threshold=threshold),
        boxes=score_detections(dataset, run.detections, "boxes", threshold=threshold),
    )


def metric_differences(
    evaluation: Evaluation, reference: Evaluation
) -> dict[str, dict[str, float | None]]:
    """Each metric minus the reference's, under "masks" and "boxes"; None if either is undefined."""
    return {
        "masks": _differences(evaluation.masks, reference.masks),
        "boxes": _differences(evaluation.boxes, reference.boxes),
    }


def _differences(ours: RegionScores, theirs: RegionScores) -> dict[str, float | None]:
    differences: dict[str, float | None] = {}
    for name in METRICS:
        mine, other = ours.metrics[name], theirs.metrics[name]
        differences[name] = None if mine is None or other is None else mine - other
    differences["best_F1"] = ours.best_f1.f1 - theirs.best_f1.f1
    differences["F1_at_0.5"] = ours.f1_at_half.f1 - theirs.f1_at_half.f1
    return differences


class _Run:
    """Collects the detections and failures of one pipeline."""

    def __init__(
        self,
        dataset: CocoDataset,
        images_dir: Path,
        categories: CategoryMapping,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self.detections: list[dict[str, Any]] = []
        self.failures: dict[str, Exception] = {}
        self._dataset = dataset
        self._categories = categories
        self._images_dir = images_dir
        self._by_path = {str(images_dir / image.file_name): image for image in dataset.images}
        self._done: set[str] = set()
        self._on_progress = on_progress

    def detect(self, pipeline: InstanceSegPipeline, threshold: float) -> None:
        """Run the pipeline on every image of the dataset."""
        self._expect_files()
        results = pipeline.predict(iter(self._by_path), threshold, on_failure=self._fail)
        for result in results:
            # Later pages of a TIFF and the files of a directory are not images of the dataset.
            if not result.page_index and result.input_path in self._by_path:
                self._add(result.input_path, result)
        for path in self._by_path:
            if path not in self._done:
                self._fail(
                    path, DatasetError(f"{path}: expected an image; received a file without one")
                )

    def _expect_files(self) -> None:
        if len(self._by_path) != len(self._dataset.images):
            raise DatasetError(
                f"{self._dataset.path}: expected the file_names of {len(self._dataset.images)}"
                f" different files; received {len(self._by_path)}: two names mean the same file"
            )
        first = next(iter(self._by_path))
        if not any(Path(path).is_file() for path in self._by_path):
            raise DatasetError(
                f"{self._images_dir}: expected the {len(self._by_path)} images of the annotation"
                f" file; received none of them (the first would be {first}). Give the root folder"
                " of the file names."
            )

    def _add(self, path: str, result: InstanceSegResult) -> None:
        image = self._by_path[path]
        if result.image_hw != image.image_hw:
            self._fail(path, _size_error(path, image, result.image_hw))
            return
        for record in result.to_coco(image.image_id):
            category_id = self._categories.category_ids.get(record["category_id"])
            if category_id is not None:
                self.detections.append({**record, "category_id": category_id})
        self._step(path)

    def _fail(self, name: str, error: Exception) -> None:
        image = self._by_path.get(name)
        self.failures[image.file_name if image else name] = error
        self._step(name)

    def _step(self, path: str) -> None:
        if path not in self._by_path:
            return
        self._done.add(path)
        if self._on_progress is not None:
            self._on_progress(len(self._done), len(self._by_path))


def _size_error(path: str, image: DatasetImage, image_hw: tuple[int, int]) -> DatasetError:
    (height, width), (annotated_height, annotated_width) = image_hw, image.image_hw
    hint = (
        " hpip applies the EXIF orientation, but the annotations may be of the image without it:"
        " save the image without EXIF data."
        if image_hw == image.image_hw[::-1]
        else ""
    )
    return DatasetError(
        f"{path}: expected {annotated_width}x{annotated_height} pixels, the size in the annotation"
        f" file; received {width}x{height}.{hint}"
    )
