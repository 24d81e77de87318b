# SPDX-License-Identifier: Apache-2.0
"""Computes COCO metrics with pycocotools, and F1 scores, which pycocotools lacks."""

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
    """F1, precision and recall at one score threshold, for matches with an IoU of at least 0.5.

    All three are 0 if there is no true positive.
    """

    score_threshold: float
    f1: float
    precision: float
    recall: float

    def to_json(self) -> dict[str, float]:
        """The metrics as a JSON object."""
        return {
            "score_threshold": self.score_threshold,
            "F1": self.f1,
            "precision": self.precision,
            "recall": self.recall,
        }


@dataclass(frozen=True)
class ClassScores:
    """Metrics of one category; None if the dataset has no instance of it.

    Attributes:
        instances: number in the dataset, without crowds.
    """

    category_id: int
    name: str
    instances: int
    ap: float | None
    ap50: float | None
    best_f1: OperatingPoint | None
    f1_at_half: OperatingPoint | None

    def to_json(self) -> dict[str, Any]:
        """The metrics as a JSON object."""
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
    """All metrics of masks, or of boxes.

    Attributes:
        metrics: values by the names in `METRICS`; None if the dataset has no matching instance,
            for example none of that size.
        best_f1: operating point with the highest F1 over all classes.
        f1_at_half: operating point at the score threshold 0.5, or at the evaluation's if higher.
        classes: metrics of each category, sorted by id.
    """

    metrics: Mapping[str, float | None]
    best_f1: OperatingPoint
    f1_at_half: OperatingPoint
    classes: tuple[ClassScores, ...]

    def to_json(self) -> dict[str, Any]:
        """The metrics as a JSON object."""
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
    """Compute the COCO metrics of detections on a dataset.

    Args:
        dataset: the ground truth.
        records: COCO result records with `bbox` and compressed `segmentation`; not modified.
        region: whether masks or boxes are compared. The size class of an instance (small,
            medium, large) follows from the area of its mask or box, respectively.
        threshold: score threshold of the detections.

    Raises:
        BackendUnavailableError: pycocotools is not installed.

    Note:
        pycocotools prints to stdout, so stdout is redirected during the call, for all threads.
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
    """Annotations as `COCO.loadRes` makes them; `loadRes` itself fails for an empty list."""
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
    """None for -1, with which pycocotools marks an undefined metric."""
    return None if value < 0 else float(value)


@dataclass(frozen=True)
class _Matches:
    """Detections and whether each has a match at an IoU of 0.5; crowd regions are ignored.

    COCO matches detections in the order of their scores, so the matches above a threshold do not
    depend on the detections below it: one matching gives the metrics at every threshold.
    """

    scores: AnyArray
    is_match: AnyArray
    positives: int

    @staticmethod
    def join(parts: Iterable[_Matches]) -> _Matches:
        parts = list(parts)
        return _Matches(
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.is_match for part in parts]),
            sum(part.positives for part in parts),
        )

    def at(self, score_threshold: float) -> OperatingPoint:
        passing = self.scores >= score_threshold
        return self._point(score_threshold, int(passing.sum()), int(self.is_match[passing].sum()))

    def best(self, lowest: float) -> OperatingPoint:
        """The operating point with the highest F1; of several, that with the highest threshold.

        Its threshold is the mean of the lowest accepted and the next lower score, so that it
        accepts the same detections with `>=` and with `>`.
        """
        order = np.argsort(-self.scores, kind="stable")
        scores = self.scores[order]
        if not len(scores):
            return self._point(lowest, 0, 0)
        matched = np.cumsum(self.is_match[order])
        accepted = np.arange(1, len(scores) + 1)
        f1 = 2 * matched / (accepted + self.positives)
        next_scores = np.append(scores[1:], min(lowest, scores[-1]))
        f1[:-1][scores[:-1] == scores[1:]] = -1.0
        index = int(np.argmax(f1))
        threshold = float(scores[index] + next_scores[index]) / 2
        return self._point(threshold, int(accepted[index]), int(matched[index]))

    def _point(self, score_threshold: float, accepted: int, matched: int) -> OperatingPoint:
        return OperatingPoint(
            score_threshold=score_threshold,
            f1=2 * matched / max(1, accepted + self.positives),
            precision=matched / max(1, accepted),
            recall=matched / max(1, self.positives),
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
