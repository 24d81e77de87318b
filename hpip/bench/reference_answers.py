# SPDX-License-Identifier: Apache-2.0
"""Answers that came through a pipe, how alike they are, and plain Paddle's, remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hpip.bench.record import Row
from hpip.common.cache import Cache, content_key
from hpip.results.comparison import Comparison, Tolerance, compare
from hpip.types import RleMask

# Raise when a remembered answer would no longer be the right one.
_VERSION = "1"


class Answer:
    """One image's instances, under the names that the comparison reads."""

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


def compare_answers(
    references: Sequence[Answer],
    answers: Sequence[Answer],
    threshold: float,
    gate: Tolerance,
    row: Row,
) -> list[str]:
    """Hold a contender's answers against plain Paddle's, and put the figures into its row.

    Returns:
        What breaks the tolerance, over all images; empty for the same answers.
    """
    found: list[Comparison] = []
    violations = []
    for number, (reference, answer) in enumerate(zip(references, answers, strict=True)):
        one = compare(reference, answer, threshold, _for_boxes(answer, gate))
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


def _for_boxes(answer: Answer, tolerance: Tolerance) -> Tolerance:
    if not answer.boxes_from_masks:
        return tolerance
    return tolerance.for_whole_pixels()


class Memory:
    """What plain Paddle found, and how long slow references took, kept in hpip's cache.

    Args:
        environment: of this run; what was measured elsewhere is not taken.
        fresh: forget everything, and remember anew.
    """

    def __init__(self, environment: Mapping[str, Any], *, fresh: bool = False) -> None:
        self._cache = Cache()
        self._fresh = fresh
        packages = environment["packages"]
        # Answers depend on the engine and on what the processor computes with.
        processor = " ".join(filter(None, (environment["cpu"], environment["mkl_debug_cpu_type"])))
        self._answer_place = (processor, environment["system"], str(packages))
        self._times_place = (*self._answer_place, str(environment["cpus_allowed"]))

    def answers(self, key: Sequence[str]) -> list[Answer] | None:
        """Plain Paddle's answers, if they are known."""
        content = self._load("answers", (*self._answer_place, *key))
        return None if content is None else [Answer(one) for one in content["answers"]]

    def keep_answers(self, key: Sequence[str], answers: Sequence[Answer]) -> None:
        """Remember plain Paddle's answers."""
        content = {"title": f"benchmark: answers, {key[0]}"}
        self._store(
            "answers",
            (*self._answer_place, *key),
            {**content, "answers": [dict(answer.content) for answer in answers]},
        )

    def times(self, key: Sequence[str]) -> dict[str, Any] | None:
        """A slow contender's row, if it was measured on this machine."""
        content = self._load("times", (*self._times_place, *key))
        return None if content is None else dict(content["row"])

    def keep_times(self, key: Sequence[str], row: Mapping[str, Any]) -> None:
        """Remember a slow contender's row."""
        content = {"title": f"benchmark: times, {key[0]}", "row": dict(row)}
        self._store("times", (*self._times_place, *key), content)

    def _load(self, kind: str, parts: Sequence[str]) -> dict[str, Any] | None:
        if self._fresh:
            return None
        loaded = self._cache.load(content_key("bench", kind, _VERSION, *parts))
        return None if loaded is None else loaded[1]

    def _store(self, kind: str, parts: Sequence[str], record: Mapping[str, Any]) -> None:
        key = content_key("bench", kind, _VERSION, *parts)
        self._cache.discard(key)
        self._cache.store(key, record, {})
