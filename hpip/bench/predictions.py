# SPDX-License-Identifier: Apache-2.0
"""Predictions of contenders, their comparison with plain Paddle's, and the cache of the latter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hpip.bench.record import Row
from hpip.common.cache import Cache, content_key
from hpip.results.comparison import Comparison, Tolerance, compare
from hpip.types import RleMask

# Increment to invalidate the cached predictions and times.
_VERSION = "1"


class ContenderPrediction:
    """The instances of one image, from the reply of a contender."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content
        self.boxes_xyxy = np.array(content["boxes"], np.float64).reshape(-1, 4)
        self.scores = np.array(content["scores"], np.float64)
        self.class_ids = np.array(content["class_ids"], np.int64)
        self.rle: Sequence[RleMask | None] = [_mask(mask) for mask in content["masks"]]
        self.boxes_from_masks = bool(content["boxes_from_masks"])


def _mask(content: Mapping[str, Any] | None) -> RleMask | None:
    if content is None:
        return None
    (height, width), (y, x) = content["hw"], content["yx"]
    return RleMask(content["counts"].encode("ascii"), (height, width), (y, x))


def compare_predictions(
    references: Sequence[ContenderPrediction],
    predictions: Sequence[ContenderPrediction],
    threshold: float,
    gate: Tolerance,
    row: Row,
) -> list[str]:
    """Compare a contender's predictions with plain Paddle's, and store the figures in its row.

    Returns:
        Violations of the tolerance in all images; empty if the predictions match.
    """
    found: list[Comparison] = []
    violations = []
    for number, (reference, prediction) in enumerate(zip(references, predictions, strict=True)):
        one = compare(reference, prediction, threshold, _tolerance(prediction, gate))
        found.append(one)
        violations += [f"image {number}: {text}" for text in one.violations()]
    pairs = sum(one.masks_compared for one in found)
    row.instances_matched = sum(one.matched for one in found)
    row.instances_missing = sum(len(one.missing) for one in found)
    row.instances_extra = sum(len(one.extra) for one in found)
    row.max_score_diff = max(one.max_score_diff for one in found)
    row.max_box_diff_px = max(one.max_box_diff_px for one in found)
    row.min_mask_iou = min(one.min_mask_iou for one in found)
    weighted = sum(one.mean_mask_iou * one.masks_compared for one in found)
    row.mean_mask_iou = weighted / pairs if pairs else 1.0
    return violations


def _tolerance(prediction: ContenderPrediction, tolerance: Tolerance) -> Tolerance:
    if not prediction.boxes_from_masks:
        return tolerance
    return tolerance.for_whole_pixels()


class ReferenceCache:
    """Caches plain Paddle's predictions and the results of slow references.

    Args:
        environment: machine and software of this run; entries of others are not used.
        fresh: ignore the existing entries, and replace them.
    """

    def __init__(self, environment: Mapping[str, Any], *, fresh: bool = False) -> None:
        self._cache = Cache()
        self._fresh = fresh
        packages = environment["packages"]
        # Predictions depend on the engine, and on the instruction set that it uses.
        processor = " ".join(filter(None, (environment["cpu"], environment["mkl_debug_cpu_type"])))
        self._prediction_key = (processor, environment["system"], str(packages))
        self._times_key = (*self._prediction_key, str(environment["cpus_allowed"]))

    def predictions(self, key: Sequence[str]) -> list[ContenderPrediction] | None:
        """Plain Paddle's predictions, or None if they are not cached."""
        content = self._load("predictions", (*self._prediction_key, *key))
        return (
            None
            if content is None
            else [ContenderPrediction(one) for one in content["predictions"]]
        )

    def store_predictions(
        self, key: Sequence[str], predictions: Sequence[ContenderPrediction]
    ) -> None:
        """Cache plain Paddle's predictions."""
        content = {"title": f"benchmark: predictions, {key[0]}"}
        self._store(
            "predictions",
            (*self._prediction_key, *key),
            {**content, "predictions": [dict(one.content) for one in predictions]},
        )

    def times(self, key: Sequence[str]) -> dict[str, Any] | None:
        """The row of a slow reference, or None if it is not cached."""
        content = self._load("times", (*self._times_key, *key))
        return None if content is None else dict(content["row"])

    def store_times(self, key: Sequence[str], row: Mapping[str, Any]) -> None:
        """Cache the row of a slow reference."""
        content = {"title": f"benchmark: times, {key[0]}", "row": dict(row)}
        self._store("times", (*self._times_key, *key), content)

    def _load(self, kind: str, parts: Sequence[str]) -> dict[str, Any] | None:
        if self._fresh:
            return None
        loaded = self._cache.load(content_key("bench", kind, _VERSION, *parts))
        return None if loaded is None else loaded[1]

    def _store(self, kind: str, parts: Sequence[str], record: Mapping[str, Any]) -> None:
        key = content_key("bench", kind, _VERSION, *parts)
        self._cache.discard(key)
        self._cache.store(key, record, {})
