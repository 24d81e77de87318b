# SPDX-License-Identifier: Apache-2.0
"""Tries one engine in a child process: loads the model, and validates its results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from hpip.common.closing import Closing
from hpip.common.system import available_memory_bytes
from hpip.errors import HpipError
from hpip.inference.execution.plan import Plan
from hpip.inference.execution.postprocess import Instances
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.budget import Clock
from hpip.inference.tuning.calibrate import Calibration
from hpip.inference.tuning.child_process import Child, ChildError
from hpip.inference.tuning.gates import GATES, Prediction, judge
from hpip.inference.tuning.ranking import Sample
from hpip.inference.tuning.records import Trial
from hpip.types import PreprocessPlan, UInt8Array

# Predictions are compared at the first of these score thresholds that gives enough instances.
_THRESHOLDS = (0.3, 0.05, 0.01, 0.0)
ENOUGH_INSTANCES = 3
# hpip stops an engine that takes this many times plain Paddle's latency. The extra seconds are for
# one-time work in an engine's first run.
_HOPELESS_RATIO, _FIRST_RUN_S = 4.0, 20.0
# An engine stays loaded for the race if as much memory is free as this many times its own.
_ROOM = 2.0


@dataclass(frozen=True)
class Task:
    """What each engine has to run.

    Attributes:
        plan: the graph and the remaining native work.
        preprocess: steps from an image to the network's input.
        images: at least one image.
        score_threshold: score threshold for measuring latency.
        calibration: calibration of int8 engines; None if it is in the cache.
    """

    plan: Plan
    preprocess: PreprocessPlan
    images: Sequence[UInt8Array]
    score_threshold: float
    calibration: Calibration | None = None


class BaselineError(HpipError):
    """Plain Paddle, the baseline, failed in its child process, so hpip can't validate an engine."""


class EngineProcess(Closing):
    """Runs a task on one engine, in a child process that starts when it is needed.

    Args:
        engine: the engine.
        task: what to run.
        clock: the remaining tuning time.

    Attributes:
        engine: the engine.
        version: version of the engine, once loaded.
        refused: segments that the engine can't load, with the reasons, once loaded.
    """

    def __init__(self, engine: Engine, task: Task, clock: Clock) -> None:
        self.engine = engine
        self.version = ""
        self.refused: dict[str, str] = {}
        self._peak_rss_bytes = 0
        self._task = task
        self._clock = clock
        self._child: Child | None = None
        self._is_warm = False

    @property
    def peak_rss_bytes(self) -> int:
        """Peak resident memory of the present child process, or the last one; 0 if unknown."""
        return self._peak_rss_bytes if self._child is None else self._child.peak_rss_bytes

    def open(self) -> Child:
        """Start the process and load the model, unless this was done before.

        Raises:
            ChildError: the engine failed, or exceeded a limit.
            ChildStartError: the process can't be started.
        """
        if self._child is not None:
            return self._child
        task, clock = self._task, self._clock
        self._child = Child(clock.limits.memory_bytes)
        if self.engine.calibration and task.calibration is not None:
            # The limit of one step per image, because each runs through the whole network.
            limit_s = clock.limits.step_s * len(task.calibration.images)
            limit_s = min(limit_s, clock.left_s)
            self._child.calibrate(task.plan, self.engine, task.calibration, limit_s=limit_s)
        self.version, self.refused = self._child.open(
            task.plan, task.preprocess, self.engine, limit_s=clock.step_s()
        )
        return self._child

    def predict(
        self, image: UInt8Array, threshold: float, most_s: float | None = None
    ) -> Instances:
        """The image's instances at a score threshold.

        Raises:
            ChildError, ChildStartError: see `open`.
        """
        child = self.open()
        (found,) = child.predict(image, (threshold,), limit_s=self._clock.step_s(most_s))
        self._is_warm = True
        return found

    def warm_up(self, image: UInt8Array) -> None:
        """Run once after loading, because the first run of an engine is slower than others.

        Raises:
            ChildError, ChildStartError: see `open`.
        """
        if not self._is_warm:
            self.open()
            self.time(image)
            self._is_warm = True

    def time(self, image: UInt8Array, most_s: float | None = None) -> Sample:
        """Time one image; the tuning time does not limit the run.

        Raises:
            ChildError, ChildStartError: see `open`.
        """
        step_s = self._clock.limits.step_s
        limit_s = step_s if most_s is None else min(most_s, step_s)
        return self.open().time(image, self._task.score_threshold, limit_s=limit_s)

    def close_if_crowded(self) -> None:
        """End the process unless there is memory to keep it for the race."""
        free = available_memory_bytes()
        if self._child is None or free is None:
            return
        if free < _ROOM * self._child.peak_rss_bytes:
            self.close()

    def close(self) -> None:
        """End the process; the next call starts a new one."""
        if self._child is not None:
            self._peak_rss_bytes = self._child.peak_rss_bytes
            self._child.close()
            self._child = None
            self._is_warm = False


@dataclass(frozen=True)
class StoredReference:
    """Results of plain Paddle that a bundle contains.

    Attributes:
        stored: the results, one per image of a task.
        source: their origin, for reports.
        most_s: time limit for one run of an engine; None for that of any step.
    """

    stored: Sequence[Prediction]
    source: str = "plain Paddle's in the bundle"
    most_s: float | None = None

    def predictions(self) -> list[Prediction]:
        """Predictions for all images of a task."""
        return list(self.stored)


class ReferenceProcess(EngineProcess):
    """Plain Paddle, the baseline.

    Attributes:
        source: the origin of its results, for reports.
        sample: its first timed run; None before `predictions`.
    """

    source = "plain Paddle"

    def __init__(self, engine: Engine, task: Task, clock: Clock) -> None:
        super().__init__(engine, task, clock)
        self._predictions: list[Prediction] = []
        self.sample: Sample | None = None

    def predictions(self) -> list[Prediction]:
        """Predictions for all images, at one score threshold.

        Raises:
            BaselineError: plain Paddle failed, or the tuning time ran out.
        """
        if self._predictions:
            return self._predictions
        found: list[Prediction] = []
        try:
            for threshold in _THRESHOLDS:
                found = [
                    Prediction(threshold, self.predict(image, threshold))
                    for image in self._task.images
                ]
                if sum(len(prediction.scores) for prediction in found) >= ENOUGH_INSTANCES:
                    break
            self.sample = self.time(self._task.images[0])
        except ChildError as failure:
            raise BaselineError(str(failure)) from failure
        self._predictions = found
        return found

    @property
    def most_s(self) -> float | None:
        """Time limit for one run of another engine, in seconds; None before `predictions`."""
        if self.sample is None:
            return None
        return _HOPELESS_RATIO * self.sample.wall_ms / 1e3 + _FIRST_RUN_S


# Where the results come from that engines are validated against.
Reference: TypeAlias = ReferenceProcess | StoredReference


def try_engine(process: EngineProcess, task: Task, reference: Reference, clock: Clock) -> Trial:
    """Load the model on an engine, and validate its results.

    The process stays open after a success if there is enough memory.

    Args:
        process: the engine to try.
        task: what to run.
        reference: plain Paddle's results, for comparison.
        clock: the remaining tuning time.

    Raises:
        BaselineError: plain Paddle failed, or the tuning time ran out before it had finished.
        ChildStartError: no process could be started.
    """
    trial = Trial(process.engine, "", "unfinished", "", allowed_s=clock.left_s)
    try:
        process.open()
        trial = replace(trial, version=process.version)
        trial = _validate(trial, process, task, reference)
    except ChildError as failure:
        trial = failed_trial(trial, failure, clock)
    if trial.state == "verified":
        process.close_if_crowded()
    else:
        process.close()
    peak_rss_bytes = process.peak_rss_bytes or None
    return replace(trial, ended_at=time.time(), peak_rss_bytes=peak_rss_bytes)


def failed_trial(trial: Trial, failure: ChildError, clock: Clock) -> Trial:
    """The trial of an engine whose process failed."""
    trial = replace(trial, state=failure.state, reason=failure.reason, ended_at=time.time())
    if failure.state == "crashed":
        return replace(trial, crashes=trial.crashes + 1)
    if failure.state == "hung" and clock.left_s <= 0:
        reason = f"the tuning time ran out after {trial.allowed_s:.3g} s"
        return replace(trial, state="unfinished", reason=reason)
    return trial


def _validate(trial: Trial, process: EngineProcess, task: Task, reference: Reference) -> Trial:
    expected = reference.predictions()
    received = [
        Prediction(right.threshold, process.predict(image, right.threshold, reference.most_s))
        for image, right in zip(task.images, expected, strict=True)
    ]
    precision = trial.engine.precision
    judgement = judge(expected, received, GATES[precision])
    if not judgement.same:
        return replace(trial, state="wrong", reason=judgement.reason)
    reason = (
        f"same results as {reference.source}"
        if precision == "fp32"
        else f"results within the tolerances of {precision}"
    )
    reason += "".join(
        f"; plain Paddle runs the segment {name}, because {why}"
        for name, why in process.refused.items()
    )
    sample = process.time(task.images[0], reference.most_s)
    return replace(
        trial,
        state="verified",
        reason=reason,
        accuracy=judgement.reason,
        time_ms=sample.wall_ms,
        cpu_ms=sample.cpu_ms,
    )
