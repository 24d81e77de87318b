# SPDX-License-Identifier: Apache-2.0
"""Computes the reference results of a bundle: the original graph on plain Paddle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpip.common.devices import Device
from hpip.errors import BackendError
from hpip.inference.execution.plan import OriginalPlan, Plan
from hpip.inference.execution.postprocess import Instances
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.budget import Limits
from hpip.inference.tuning.candidates import BASELINE
from hpip.inference.tuning.child_process import Child, ChildError, ChildStartError
from hpip.inference.tuning.images import digest
from hpip.inference.tuning.trial import ENOUGH_INSTANCES
from hpip.inference.tuning.truncation_check import SMALL_TARGET_HW
from hpip.model.bundle_references import ReferenceResult, References
from hpip.model.spec import ModelSpec
from hpip.types import UInt8Array

# The highest of these score thresholds with enough instances is used.
_THRESHOLDS = (0.3, 0.05, 0.01, 0.0)
# The noisy masks of a hundred instances would take megabytes.
_MOST_INSTANCES = 20


def compute_references(
    spec: ModelSpec,
    truncated: Plan,
    images: Sequence[UInt8Array],
    *,
    threads: int,
    limits: Limits,
) -> References:
    """What plain Paddle finds in some images, at the input size of validation.

    An image for whose full-size masks there is not enough memory runs on the truncated graph, which
    has the same results.

    Args:
        spec: a model directory.
        truncated: its truncated graph, validated against the original one.
        images: the images.
        threads: CPU threads.
        limits: time and memory of the child process.

    Raises:
        BackendError: plain Paddle can't run the model.
    """
    resize_hw = SMALL_TARGET_HW if spec.network_hw is None else None
    small = spec.resized(resize_hw)
    results: dict[str, ReferenceResult] = {}
    for image in images:
        try:
            found = _predict(OriginalPlan(small), small, image, threads, limits)
        except BackendError:
            found = _predict(truncated, small, image, threads, limits)
        key = digest([image])
        results[key] = _best(key, found)
    return References(resize_hw, tuple(results.values()))


def _predict(
    plan: Plan, spec: ModelSpec, image: UInt8Array, threads: int, limits: Limits
) -> Instances:
    """All instances of the image, from a process that ends after it."""
    engine = Engine(BASELINE, Device("cpu"), threads)
    try:
        # Paddle does not free the memory of full-size masks.
        with Child(limits.memory_bytes) as child:
            child.open(plan, spec.preprocess, engine, limit_s=limits.step_s)
            (found,) = child.predict(image, (_THRESHOLDS[-1],), limit_s=limits.step_s)
            return found
    except (ChildError, ChildStartError) as error:
        raise BackendError(
            BASELINE, "compute the reference results", f"{spec.model_dir}: {error}"
        ) from error


def _best(image: str, found: Instances) -> ReferenceResult:
    """The instances with the highest scores, and a threshold that only they pass."""
    scores = found.scores
    threshold = next(
        (t for t in _THRESHOLDS if np.count_nonzero(scores > t) >= ENOUGH_INSTANCES),
        _THRESHOLDS[-1],
    )
    if np.count_nonzero(scores > threshold) > _MOST_INSTANCES:
        best = np.sort(scores)[::-1]
        threshold = float(best[_MOST_INSTANCES - 1] + best[_MOST_INSTANCES]) / 2
    kept = np.flatnonzero(scores > threshold)
    return ReferenceResult(
        image,
        threshold,
        found.class_ids[kept],
        scores[kept],
        found.boxes_xyxy[kept],
        tuple(found.masks[index] for index in kept),
        found.boxes_from_masks,
    )
