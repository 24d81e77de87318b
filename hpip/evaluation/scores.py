# SPDX-License-Identifier: Apache-2.0
"""COCO's figures of detections, from pycocotools, and the F1 score, which it does not give."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

import hpip.ops as ops
from hpip.evaluation._pycocotools import require_pycocotools
from hpip.evaluation.dataset import CocoDataset
from hpip.types import AnyArray

# In the order of pycocotools' `COCOeval.stats`.
METRICS = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"),
)
F1_IOU = 0.5
_F1_IOU_INDEX = 0
_ALL_AREAS_INDEX = 0
_LARGEST_MAX_DETS_INDEX = 2


@dataclass(frozen=True)
class OperatingPoint:
    """What comes out when a score threshold is set; matches have an IoU of at least 0.5.

    Precision, recall and F1 are 0 where nothing is right.
    """

    score_threshold: float
    f1: float
    precision: float
    recall: float

    def to_json(self) -> dict[str, float]:
        """The figures by name."""
        return {
            "score_threshold": self.score_threshold,
            "F1": self.f1,
            "precision": self.precision,
            "recall": self.recall,
        }


@dataclass(frozen=True)
class ClassScores:
    """One category's figures; None where the dataset has no instance of it.

    Attributes:
        instances: in the dataset, without crowds.
    """

    category_id: int
    name: str
    instances: int
    ap: float | None
    ap50: float | None
    best_f1: OperatingPoint | None
    f1_at_half: OperatingPoint | None

    def to_json(self) -> dict[str, Any]:
        """The figures by name."""
        return {
            "category_id": self.category_id,
            "name": self.name,
            "instances": self.instances,
            "AP": self.ap,
            "AP50": self.ap50,
            "best_F1": self.best_f1.to_json() if self.best_f1 else None,
            "F1_at_0.5": self.f1_at_half.to_json() if self.f1_at_half else None,
        }


@dataclass(frozen=True)
class RegionScores:
    """All figures of one kind of region, masks or boxes.

    Attributes:
        metrics: by the names in `METRICS`; None where the dataset has no instance to find, of that
            size for instance.
        best_f1: the score threshold with the highest F1 over all classes.
        f1_at_half: at the score threshold 0.5, or at that of the evaluation where it is higher.
        classes: one for each category, by id.
    """

    metrics: Mapping[str, float | None]
    best_f1: OperatingPoint
    f1_at_half: OperatingPoint
    classes: tuple[ClassScores, ...]

    def to_json(self) -> dict[str, Any]:
        """The figures by name."""
        return {
            **self.metrics,
            "best_F1": self.best_f1.to_json(),
            "F1_at_0.5": self.f1_at_half.to_json(),
            "per_class": [one.to_json() for one in self.classes],
        }


def score_detections(
    dataset: CocoDataset,
    records: Sequence[Mapping[str, Any]],
    region: Literal["masks", "boxes"],
    *,
    threshold: float,
) -> RegionScores:
    """Compare detections with a dataset.

    Args:
        dataset: the truth.
        records: COCO result records with `bbox` and compressed `segmentation`; not changed.
        region: what is compared. An instance's size, small or large, is the area of its mask, or
            of its box, accordingly.
        threshold: the score that the detections were made with.

    Raises:
        BackendUnavailableError: pycocotools is missing.

    Note:
        pycocotools prints, so stdout is redirected meanwhile, for all threads.
    """
    pycocotools = require_pycocotools()
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = pycocotools.coco.COCO(), pycocotools.coco.COCO()
        truth.dataset = dataset.to_coco()
        found.dataset = {**dataset.to_coco(), "annotations": _detections(records, region)}
        truth.createIndex()
        found.createIndex()
        kind = "segm" if region == "masks" else "bbox"
        scorer = pycocotools.cocoeval.COCOeval(truth, found, kind)
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    matches = _matches_by_category(scorer)
    everything = _Matches.join(matches.values())
    return RegionScores(
        metrics={
            name: _known(value) for name, value in zip(METRICS, scorer.stats.tolist(), strict=True)
        },
        best_f1=everything.best(threshold),
        f1_at_half=everything.at(max(0.5, threshold)),
        classes=tuple(
            _class_scores(dataset, scorer, index, category_id, matches[category_id], threshold)
            for index, category_id in enumerate(sorted(dataset.categories))
        ),
    )


def _detections(
    records: Sequence[Mapping[str, Any]], region: Literal["masks", "boxes"]
) -> list[dict[str, Any]]:
    """What `COCO.loadRes` makes of result records, which fails where there are none."""
    detections = []
    for number, record in enumerate(records, start=1):
        _, _, width, height = record["bbox"]
        area = (
            ops.rle_area(record["segmentation"]["counts"]) if region == "masks" else width * height
        )
        detections.append({**record, "id": number, "area": float(area), "iscrowd": 0})
    return detections


def _class_scores(
    dataset: CocoDataset,
    scorer: Any,
    index: int,
    category_id: int,
    matches: _Matches,
    threshold: float,
) -> ClassScores:
    precision = scorer.eval["precision"][:, :, index, _ALL_AREAS_INDEX, _LARGEST_MAX_DETS_INDEX]
    exists = matches.positives > 0
    return ClassScores(
        category_id=category_id,
        name=dataset.categories[category_id],
        instances=matches.positives,
        ap=_known(precision.mean()) if exists else None,
        ap50=_known(precision[_F1_IOU_INDEX].mean()) if exists else None,
        best_f1=matches.best(threshold) if exists else None,
        f1_at_half=matches.at(max(0.5, threshold)) if exists else None,
    )


def _known(value: float) -> float | None:
    """None for the -1 with which pycocotools marks that there is nothing to find."""
    return None if value < 0 else float(value)


@dataclass(frozen=True)
class _Matches:
    """Detections with their matches at an IoU of 0.5, crowds and what lies in them left out.

    COCO matches the best score first, so those above any threshold have the same matches as if the
    others had never been there: one matching gives the figures of every threshold.
    """

    scores: AnyArray
    is_right: AnyArray
    positives: int

    @staticmethod
    def join(parts: Iterable[_Matches]) -> _Matches:
        parts = list(parts)
        return _Matches(
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.is_right for part in parts]),
            sum(part.positives for part in parts),
        )

    def at(self, score_threshold: float) -> OperatingPoint:
        passing = self.scores >= score_threshold
        return self._point(score_threshold, int(passing.sum()), int(self.is_right[passing].sum()))

    def best(self, lowest: float) -> OperatingPoint:
        """The point of the highest F1; of several, that of the highest threshold.

        Its threshold lies halfway to the next lower score, so that it means the same to those who
        keep what reaches a threshold and to those who keep what is above.
        """
        order = np.argsort(-self.scores, kind="stable")
        scores = self.scores[order]
        if not len(scores):
            return self._point(lowest, 0, 0)
        right = np.cumsum(self.is_right[order])
        kept = np.arange(1, len(scores) + 1)
        f1 = 2 * right / (kept + self.positives)
        next_scores = np.append(scores[1:], min(lowest, scores[-1]))
        f1[:-1][scores[:-1] == scores[1:]] = -1.0
        index = int(np.argmax(f1))
        threshold = float(scores[index] + next_scores[index]) / 2
        return self._point(threshold, int(kept[index]), int(right[index]))

    def _point(self, score_threshold: float, kept: int, right: int) -> OperatingPoint:
        return OperatingPoint(
            score_threshold=score_threshold,
            f1=2 * right / max(1, kept + self.positives),
            precision=right / max(1, kept),
            recall=right / max(1, self.positives),
        )


def _matches_by_category(scorer: Any) -> dict[int, _Matches]:
    params = scorer.params
    images, areas = len(params.imgIds), len(params.areaRng)
    by_category = {}
    for index, category_id in enumerate(params.catIds):
        start = (index * areas + _ALL_AREAS_INDEX) * images
        parts = [one for one in scorer.evalImgs[start : start + images] if one is not None]
        by_category[int(category_id)] = _Matches.join(
            [_NO_MATCHES, *(_matches_in_image(part) for part in parts)]
        )
    return by_category


def _matches_in_image(evaluated: Mapping[str, Any]) -> _Matches:
    counts = ~evaluated["dtIgnore"][_F1_IOU_INDEX].astype(bool)
    return _Matches(
        np.asarray(evaluated["dtScores"], np.float64)[counts],
        (evaluated["dtMatches"][_F1_IOU_INDEX] > 0)[counts],
        int(np.count_nonzero(np.asarray(evaluated["gtIgnore"]) == 0)),
    )


_NO_MATCHES = _Matches(np.empty(0, np.float64), np.empty(0, bool), 0)
