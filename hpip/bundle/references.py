# SPDX-License-Identifier: Apache-2.0
"""Computes the reference results of a bundle: the original graph on plain Paddle."""

from __future__ import annotations

from collections.abc import Sequence

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

# Finer steps than in trials: noisy masks of a hundred instances take megabytes.
_THRESHOLDS = (0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 0.0)


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
        results[digest([image])] = _first_with_enough(digest([image]), found)
    return References(resize_hw, tuple(results.values()))


def _predict(
    plan: Plan, spec: ModelSpec, image: UInt8Array, threads: int, limits: Limits
) -> list[Instances]:
    """The image's instances at each threshold, from a process that ends after it."""
    engine = Engine(BASELINE, Device("cpu"), threads)
    try:
        # Paddle does not free the memory of full-size masks.
        with Child(limits.memory_bytes) as child:
            child.open(plan, spec.preprocess, engine, limit_s=limits.step_s)
            return child.predict(image, _THRESHOLDS, limit_s=limits.step_s)
    except (ChildError, ChildStartError) as error:
        raise BackendError(
            BASELINE, "compute the reference results", f"{spec.model_dir}: {error}"
        ) from error


def _first_with_enough(image: str, found: Sequence[Instances]) -> ReferenceResult:
    """The result at the highest threshold with enough instances, or else the lowest one."""
    pairs = list(zip(_THRESHOLDS, found, strict=True))
    threshold, instances = next(
        (pair for pair in pairs if len(pair[1].scores) >= ENOUGH_INSTANCES), pairs[-1]
    )
    return ReferenceResult(
        image,
        threshold,
        instances.class_ids,
        instances.scores,
        instances.boxes_xyxy,
        tuple(instances.masks),
        instances.boxes_from_masks,
    )
