# SPDX-License-Identifier: Apache-2.0
"""Finds the fastest engine with valid outputs for a static Paddle program, on its real inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np

from hpip.backends.base import Feeds
from hpip.common.cpu_load import CpuLoadMeter
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.budget import Clock, Limits
from hpip.inference.tuning.child_process import Child, ChildError
from hpip.inference.tuning.race import race_result
from hpip.inference.tuning.ranking import Sample, metered, rank, timed
from hpip.inference.tuning.records import Trial, Verdict
from hpip.inference.tuning.select import verdict_on
from hpip.inference.tuning.trial import failed_trial
from hpip.types import AnyArray, ModelFiles

Plain: TypeAlias = Callable[[Sequence[AnyArray]], Sequence[AnyArray]]

# Share of an output's largest value: float32 sums in another order stay well below it.
_TOLERANCE = 1e-3


class ProgramTuning:
    """Tries engines on a program, and times those with valid outputs against plain Paddle.

    Args:
        files: the program and its parameters.
        baseline: plain Paddle's configuration.
        engines: the engines to try, in the order that decides between equally fast ones.
        plain: runs the program on plain Paddle, in this process.
        budget_s: time limit in seconds.
    """

    def __init__(
        self,
        files: ModelFiles,
        baseline: Engine,
        engines: Sequence[Engine],
        plain: Plain,
        budget_s: float,
    ) -> None:
        self._files = files
        self._baseline = baseline
        self._engines = engines
        self._plain = plain
        self._clock = Clock(Limits(budget_s))

    def run(self, inputs: Sequence[AnyArray], feeds: Feeds, outputs: Sequence[AnyArray]) -> Verdict:
        """Choose an engine.

        Args:
            inputs: the inputs for `plain`.
            feeds: the same inputs by their names, for the other engines.
            outputs: plain Paddle's outputs for them.

        Raises:
            ChildStartError: no child process could be started.
        """
        trials: list[Trial] = []
        with ExitStack() as opened:
            valid: list[tuple[int, Child]] = []
            for engine in self._engines:
                if self._clock.left_s <= 0:
                    break
                child = opened.enter_context(Child())
                trials.append(self._try(engine, child, feeds, outputs))
                if trials[-1].state == "verified":
                    valid.append((len(trials) - 1, child))
            return self._choose(trials, valid, inputs, feeds)

    def _try(
        self, engine: Engine, child: Child, feeds: Feeds, outputs: Sequence[AnyArray]
    ) -> Trial:
        trial = Trial(engine, "", "verified", "same outputs", allowed_s=self._clock.left_s)
        try:
            version = child.load(self._files, engine, limit_s=self._clock.step_s())
            trial = replace(trial, version=version, ended_at=time.time())
            found, _ = child.run(feeds, limit_s=self._clock.step_s())
        except ChildError as failure:
            return failed_trial(trial, failure, self._clock)
        if difference := outputs_differ(outputs, found):
            return replace(trial, state="wrong", reason=difference)
        return trial

    def _choose(
        self,
        trials: list[Trial],
        valid: Sequence[tuple[int, Child]],
        inputs: Sequence[AnyArray],
        feeds: Feeds,
    ) -> Verdict:
        meter = CpuLoadMeter(self._baseline.threads)
        ranking = rank(
            [
                partial(self._plain_turn, inputs, meter),
                *(partial(self._turn, child, feeds, meter) for _, child in valid),
            ],
            limit_s=self._clock.left_s,
            busy_share=lambda: meter.share,
            uses_cpu=self._baseline.device.kind == "cpu",
        )
        for (position, _), speed in zip(valid, ranking.speeds[1:], strict=True):
            if speed is not None:
                trials[position] = replace(
                    trials[position], time_ms=speed.time_ms, cpu_ms=speed.cpu_ms
                )
        race = race_result(self._baseline, [trials[p].engine for p, _ in valid], ranking)
        untried = self._engines[len(trials) :]
        limits = self._clock.limits
        return verdict_on(("untouched", ""), self._baseline, trials, race, untried, limits)

    def _turn(self, child: Child, feeds: Feeds, meter: CpuLoadMeter, _number: int) -> Sample | None:
        limit_s = self._clock.limits.step_s
        try:
            return metered(meter, lambda: child.run(feeds, limit_s=limit_s)[1])
        except ChildError:
            return None

    def _plain_turn(self, inputs: Sequence[AnyArray], meter: CpuLoadMeter, _number: int) -> Sample:
        return metered(meter, lambda: timed(lambda: self._plain(inputs))[1])


def outputs_differ(wanted: Sequence[AnyArray], found: Sequence[AnyArray]) -> str:
    """How two runs' outputs differ; empty if they do not.

    Floats may differ by a thousandth of the output's largest value; all else must be equal.
    """
    if len(wanted) != len(found):
        return f"{len(found)} outputs instead of {len(wanted)}"
    for i, (right, other) in enumerate(zip(map(np.asarray, wanted), found, strict=True)):
        if right.shape != other.shape:
            return f"output {i} of shape {other.shape} instead of {right.shape}"
        if not np.issubdtype(right.dtype, np.floating):
            if not np.array_equal(right, other):
                return f"output {i} has other integers"
            continue
        size = float(
            np.abs(right, where=np.isfinite(right), out=np.zeros_like(right)).max(initial=0)
        )
        if not np.allclose(other, right, rtol=0, atol=_TOLERANCE * size, equal_nan=True):
            return f"output {i} differs by more than {_TOLERANCE * size:.2g}"
    return ""
