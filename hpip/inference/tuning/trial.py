# SPDX-License-Identifier: Apache-2.0
"""Tries one engine in a child process: validates its results, and measures its latency."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hpip.errors import HpipError
from hpip.inference.execution.plan import Plan
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.budget import Clock
from hpip.inference.tuning.calibrate import Calibration
from hpip.inference.tuning.child_process import Child, ChildError
from hpip.inference.tuning.gates import GATES, Prediction, judge
from hpip.inference.tuning.records import Trial
from hpip.types import PreprocessPlan, UInt8Array

# Predictions are compared at the first of these score thresholds that gives enough instances.
_THRESHOLDS = (0.3, 0.05, 0.01, 0.0)
_ENOUGH_INSTANCES = 3
# Rounds of one run each of plain Paddle and the engine. A median of three tolerates one outlier;
# fast models get more rounds.
_LEAST_ROUNDS, _MOST_ROUNDS, _CHEAP_MS = 3, 15, 4000.0
# hpip stops an engine that takes this many times plain Paddle's latency. The extra seconds are for
# one-time work in an engine's first run.
_HOPELESS_RATIO, _FIRST_RUN_S = 4.0, 20.0


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


class Reference:
    """Runs plain Paddle, the baseline, in a child process that starts at the first use.

    Args:
        task: what to run.
        baseline: plain Paddle.
        clock: the remaining tuning time.

    Attributes:
        times_ms: latencies measured so far.
    """

    def __init__(self, task: Task, baseline: Engine, clock: Clock) -> None:
        self._task = task
        self._baseline = baseline
        self._clock = clock
        self._child: Child | None = None
        self._predictions: list[Prediction] = []
        self.times_ms: list[float] = []

    def predictions(self) -> list[Prediction]:
        """Predictions for all images, at one score threshold.

        Raises:
            BaselineError: plain Paddle failed, or the tuning time ran out.
        """
        if self._predictions:
            return self._predictions
        found: list[Prediction] = []
        try:
            child = self._open()
            for threshold in _THRESHOLDS:
                found = []
                for image in self._task.images:
                    limit_s = self._clock.step_s()
                    (instances,) = child.predict(image, (threshold,), limit_s=limit_s)
                    found.append(Prediction(threshold, instances))
                if sum(len(prediction.scores) for prediction in found) >= _ENOUGH_INSTANCES:
                    break
        except ChildError as failure:
            raise BaselineError(str(failure)) from failure
        self._predictions = found
        return found

    def time_ms(self, image: UInt8Array) -> float:
        """Measure the latency of one image, in milliseconds.

        Raises:
            BaselineError: plain Paddle failed, or the tuning time ran out.
        """
        try:
            took = self._open().time_ms(
                image, self._task.score_threshold, limit_s=self._clock.step_s()
            )
        except ChildError as failure:
            raise BaselineError(str(failure)) from failure
        self.times_ms.append(took)
        return took

    def close(self) -> None:
        """End the child process."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _open(self) -> Child:
        if self._child is None:
            self._child = Child(self._clock.limits.memory_bytes)
            task, limit_s = self._task, self._clock.step_s()
            self._child.open(task.plan, task.preprocess, self._baseline, limit_s=limit_s)
        return self._child


def try_engine(engine: Engine, task: Task, reference: Reference, clock: Clock) -> Trial:
    """Load the model on an engine, validate its results, and measure its latency.

    Args:
        engine: the engine to try.
        task: what to run.
        reference: plain Paddle, for comparison.
        clock: the remaining tuning time.

    Raises:
        BaselineError: plain Paddle failed, or the tuning time ran out before it had finished.
    """
    allowed_s = clock.left_s
    trial = Trial(engine, "", "unfinished", "", allowed_s=allowed_s)
    child: Child | None = None
    try:
        child = Child(clock.limits.memory_bytes)
        if engine.calibration and task.calibration is not None:
            # The limit of one step per image, because each runs through the whole network.
            limit_s = clock.limits.step_s * len(task.calibration.images)
            limit_s = min(limit_s, clock.left_s)
            child.calibrate(task.plan, engine, task.calibration, limit_s=limit_s)
        limit_s = clock.step_s()
        version, refused = child.open(task.plan, task.preprocess, engine, limit_s=limit_s)
        left = "".join(
            f"; plain Paddle runs the segment {name}, because {why}"
            for name, why in refused.items()
        )
        trial = replace(trial, version=version)
        trial = _judge_and_time(trial, task, reference, clock, child)
        trial = replace(trial, reason=trial.reason + left)
    except ChildError as failure:
        trial = replace(trial, state=failure.state, reason=failure.reason)
        if failure.state == "hung" and clock.left_s <= 0:
            reason = f"the tuning time ran out after {allowed_s:.3g} s"
            trial = replace(trial, state="unfinished", reason=reason)
    finally:
        if child is not None:
            child.close()
    return replace(trial, peak_rss_bytes=(child and child.peak_rss_bytes) or None)


def _judge_and_time(
    trial: Trial,
    task: Task,
    reference: Reference,
    clock: Clock,
    child: Child,
) -> Trial:
    expected = reference.predictions()
    if not reference.times_ms:
        reference.time_ms(task.images[0])
    most_s = _HOPELESS_RATIO * max(reference.times_ms) / 1e3 + _FIRST_RUN_S
    received = []
    for image, right in zip(task.images, expected, strict=True):
        (instances,) = child.predict(image, (right.threshold,), limit_s=clock.step_s(most_s))
        received.append(Prediction(right.threshold, instances))
    precision = trial.engine.precision
    judgement = judge(expected, received, GATES[precision])
    if not judgement.same:
        return replace(trial, state="wrong", reason=judgement.reason)
    reason = (
        "same results as plain Paddle"
        if precision == "fp32"
        else f"results within the tolerances of {precision}"
    )
    trial = replace(trial, state="verified", reason=reason, accuracy=judgement.reason)
    times_ms, ratios = _times(task, reference, clock, child, most_s)
    return replace(trial, time_ms=statistics.median(times_ms), ratio=statistics.median(ratios))


def _times(
    task: Task, reference: Reference, clock: Clock, child: Child, most_s: float
) -> tuple[list[float], list[float]]:
    """Latencies of the engine, and their ratios to plain Paddle's, measured interleaved."""
    times_ms: list[float] = []
    ratios: list[float] = []
    spent_ms = 0.0
    most_rounds = 1 if clock.quick else _MOST_ROUNDS
    while len(times_ms) < min(most_rounds, _LEAST_ROUNDS) or (
        len(times_ms) < most_rounds and spent_ms < _CHEAP_MS
    ):
        image = task.images[len(times_ms) % len(task.images)]
        baseline_ms = reference.time_ms(image)
        limit_s = clock.step_s(most_s)
        times_ms.append(child.time_ms(image, task.score_threshold, limit_s=limit_s))
        ratios.append(times_ms[-1] / baseline_ms)
        spent_ms += baseline_ms + times_ms[-1]
    return times_ms, ratios
