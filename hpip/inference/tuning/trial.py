# SPDX-License-Identifier: Apache-2.0
"""Tries one engine in a child process: does it answer as plain Paddle does, and how fast?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hpip.errors import HpipError
from hpip.inference.execution.plan import Plan
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.budget import Clock
from hpip.inference.tuning.calibrate import Calibration
from hpip.inference.tuning.child_process import Child, ChildError, ChildStartError
from hpip.inference.tuning.gates import GATES, Answer, judge
from hpip.inference.tuning.records import Trial
from hpip.types import PreprocessPlan, UInt8Array

# The first of these at which the reference finds enough is the one that answers are compared at:
# everything above it is compared with it.
_THRESHOLDS = (0.3, 0.05, 0.01, 0.0)
_ENOUGH_INSTANCES = 3
# Rounds of one run each of plain Paddle and the engine. A median of three holds against one
# disturbance; more are made while they are cheap.
_LEAST_ROUNDS, _MOST_ROUNDS, _CHEAP_MS = 3, 15, 4000.0
# An engine that needs this many times plain Paddle's time for a picture has lost already; the
# allowance is for what engines do in their first run only.
_HOPELESS_RATIO, _FIRST_RUN_S = 4.0, 20.0


@dataclass(frozen=True)
class Task:
    """What every engine of a tuning is given.

    Attributes:
        plan: program and what remains to be done natively.
        preprocess: from picture to input.
        pictures: at least one.
        score_threshold: what the model is timed at.
        calibration: what engines in int8 are calibrated on; None where that was done before.
    """

    plan: Plan
    preprocess: PreprocessPlan
    pictures: Sequence[UInt8Array]
    score_threshold: float
    calibration: Calibration | None = None


class FloorError(HpipError):
    """Plain Paddle did not answer in its process, which says nothing about any engine."""


class Reference:
    """Plain Paddle's process, answers and times; started when it is first needed.

    Args:
        task: what is run.
        floor: plain Paddle.
        clock: what is left of the budget.
    """

    def __init__(self, task: Task, floor: Engine, clock: Clock) -> None:
        self._task = task
        self._floor = floor
        self._clock = clock
        self._child: Child | None = None
        self._answers: list[Answer] = []
        self.times_ms: list[float] = []

    def answers(self) -> list[Answer]:
        """Its answer to each picture, at one threshold.

        Raises:
            FloorError: it failed, or the time was up.
        """
        if self._answers:
            return self._answers
        found: list[Answer] = []
        try:
            child = self._open()
            for threshold in _THRESHOLDS:
                found = []
                for picture in self._task.pictures:
                    limit_s = self._clock.step_s()
                    (instances,) = child.answer(picture, (threshold,), limit_s=limit_s)
                    found.append(Answer(threshold, instances))
                if sum(len(answer.scores) for answer in found) >= _ENOUGH_INSTANCES:
                    break
        except ChildStartError:
            raise
        except ChildError as failure:
            raise FloorError(str(failure)) from failure
        self._answers = found
        return found

    def time_ms(self, picture: UInt8Array) -> float:
        """Its time for one picture.

        Raises:
            FloorError: it failed, or the time was up.
        """
        try:
            took = self._open().time_ms(
                picture, self._task.score_threshold, limit_s=self._clock.step_s()
            )
        except ChildStartError:
            raise
        except ChildError as failure:
            raise FloorError(str(failure)) from failure
        self.times_ms.append(took)
        return took

    def close(self) -> None:
        """End its process."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _open(self) -> Child:
        if self._child is None:
            self._child = Child(self._clock.limits.memory_bytes)
            task, limit_s = self._task, self._clock.step_s()
            self._child.open(task.plan, task.preprocess, self._floor, limit_s=limit_s)
        return self._child


def try_engine(engine: Engine, task: Task, reference: Reference, clock: Clock) -> Trial:
    """Load the model on an engine, compare its answers, and time it against plain Paddle.

    Raises:
        FloorError: plain Paddle failed, or the time was up before it had answered.
    """
    allowed_s = clock.left_s
    trial = Trial(engine, "", "unfinished", "", allowed_s=allowed_s)
    child: Child | None = None
    try:
        child = Child(clock.limits.memory_bytes)
        if engine.calibration and task.calibration is not None:
            # A step's time for each picture: each goes through the whole network.
            limit_s = clock.limits.step_s * len(task.calibration.pictures)
            limit_s = min(limit_s, clock.left_s)
            child.calibrate(task.plan, engine, task.calibration, limit_s=limit_s)
        limit_s = clock.step_s()
        version, refused = child.open(task.plan, task.preprocess, engine, limit_s=limit_s)
        left = "".join(f"; plain Paddle runs {name}: {why}" for name, why in refused.items())
        trial = replace(trial, version=version)
        trial = _judge_and_time(trial, task, reference, clock, child)
        trial = replace(trial, reason=trial.reason + left)
    except ChildStartError:
        raise
    except ChildError as failure:
        trial = replace(trial, state=failure.state, reason=failure.reason)
        if failure.state == "hung" and clock.left_s <= 0:
            reason = f"the time was up after {allowed_s:.3g} s"
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
    wanted = reference.answers()
    if not reference.times_ms:
        reference.time_ms(task.pictures[0])
    most_s = _HOPELESS_RATIO * max(reference.times_ms) / 1e3 + _FIRST_RUN_S
    found = []
    for picture, right in zip(task.pictures, wanted, strict=True):
        (instances,) = child.answer(picture, (right.threshold,), limit_s=clock.step_s(most_s))
        found.append(Answer(right.threshold, instances))
    precision = trial.engine.precision
    judgement = judge(wanted, found, GATES[precision])
    if not judgement.same:
        return replace(trial, state="wrong", reason=judgement.reason)
    reason = (
        "same answers as plain Paddle" if precision == "fp32" else f"within the gate of {precision}"
    )
    trial = replace(trial, state="verified", reason=reason, accuracy=judgement.reason)
    times_ms, ratios = _times(task, reference, clock, child, most_s)
    return replace(trial, time_ms=statistics.median(times_ms), ratio=statistics.median(ratios))


def _times(
    task: Task, reference: Reference, clock: Clock, child: Child, most_s: float
) -> tuple[list[float], list[float]]:
    """Milliseconds of the engine, and their ratios to plain Paddle's, by turns."""
    times_ms: list[float] = []
    ratios: list[float] = []
    spent_ms = 0.0
    most_rounds = 1 if clock.quick else _MOST_ROUNDS
    while len(times_ms) < min(most_rounds, _LEAST_ROUNDS) or (
        len(times_ms) < most_rounds and spent_ms < _CHEAP_MS
    ):
        picture = task.pictures[len(times_ms) % len(task.pictures)]
        floor_ms = reference.time_ms(picture)
        limit_s = clock.step_s(most_s)
        times_ms.append(child.time_ms(picture, task.score_threshold, limit_s=limit_s))
        ratios.append(times_ms[-1] / floor_ms)
        spent_ms += floor_ms + times_ms[-1]
    return times_ms, ratios
