# SPDX-License-Identifier: Apache-2.0
"""Tries the engines of one request, and times those with valid results against each other."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial
from typing import Literal

from hpip.common.closing import Closing
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.budget import Clock, tell
from hpip.inference.tuning.candidates import (
    TuningRequest,
    needs_calibration,
    plain_paddle,
    thread_variants,
)
from hpip.inference.tuning.race import Race, RaceResult
from hpip.inference.tuning.ranking import Sample
from hpip.inference.tuning.records import Trial, Verdict, label
from hpip.inference.tuning.select import verdict_on
from hpip.inference.tuning.trial import (
    BaselineError,
    EngineProcess,
    Reference,
    ReferenceProcess,
    StoredReference,
    Task,
    failed_trial,
    try_engine,
)
from hpip.inference.tuning.verdict_store import VerdictStore

logger = logging.getLogger(__name__)

# This part of the tuning time is kept for timing once an engine has valid results.
_RACE_SHARE = 0.2
_UNCALIBRATED = (
    "int8 needs images for calibration; "
    "run `hpip tune MODEL_DIR --precision int8 --input IMAGES` once"
)


class EngineTrials(Closing):
    """Tries the engines of one request in child processes. Use it with `with`, or call `close`.

    Args:
        request: the model and the caller's options.
        store: where trials are cached; lists the candidates.
        task: what the engines have to run.
        clock: the remaining tuning time.
        reference: results to validate against; None for plain Paddle's, in a process of its own.
    """

    def __init__(
        self,
        request: TuningRequest,
        store: VerdictStore,
        task: Task,
        clock: Clock,
        reference: StoredReference | None = None,
    ) -> None:
        self._request = request
        self._store = store
        self._task = task
        self._clock = clock
        self._reference: Reference = reference or ReferenceProcess(
            plain_paddle(request), task, clock
        )
        self._processes: dict[str, EngineProcess] = {}
        self._trials: list[Trial] = []

    def run_all(self, images_key: str, *, again: bool, retry: bool) -> None:
        """Use the cached trial of each candidate, or try it while there is time.

        Args:
            images_key: digest of the images, for the cache.
            again: True ignores cached trials.
            retry: True repeats at once those that failed because of circumstances.
        """
        attempt = partial(self._run, images_key=images_key, again=again, retry=retry)
        for engine in self._store.engines:
            attempt(engine)
            if self._clock.quick and self.valid:
                return
        valid = self.valid
        if valid and self._has_rivals and not self._clock.quick:
            fastest = min(valid, key=lambda trial: trial.time_ms or 0.0)
            for engine in thread_variants(fastest.engine):
                attempt(engine)

    def verdict(self, program: Literal["cut", "untouched"], program_reason: str) -> Verdict:
        """Time the engines with valid results against each other, and choose the fastest."""
        tried = [trial.engine for trial in self._trials]
        untried = [engine for engine in self._store.engines if engine not in tried]
        baseline = self._request.baseline
        valid = self.valid
        if self._has_rivals and len(valid) > (1 if baseline is None else 0):
            race = self._race()
        else:
            race = RaceResult(valid[0].engine if valid else plain_paddle(self._request))
        graph = (program, program_reason)
        return verdict_on(graph, baseline, self._trials, race, untried, self._clock.limits)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The results so far, in the configured order."""
        return tuple(self._trials)

    @property
    def valid(self) -> list[Trial]:
        """The trials of engines with valid results."""
        return [trial for trial in self._trials if trial.state == "verified"]

    def close(self) -> None:
        """End the child processes. May be called again."""
        for process in self._processes.values():
            process.close()
        if isinstance(self._reference, ReferenceProcess):
            self._reference.close()

    @property
    def _has_rivals(self) -> bool:
        """Whether speed matters: an engine that the caller named runs if it is valid."""
        return self._request.backend is None

    def _run(self, engine: Engine, *, images_key: str, again: bool, retry: bool) -> None:
        if (trial := self._uncalibrated_trial(engine)) is not None:
            self._trials.append(trial)
            return
        trial = None if again else self._store.trial(engine, images_key)
        if trial is None or _is_due(trial, retry, self._clock.limits.budget_s):
            if self._is_out_of_time():
                if trial is not None:
                    self._trials.append(trial)
                return
            trial = self._try(engine, 0 if trial is None else trial.crashes)
            self._store.save_trial(trial, images_key)
            logger.info("%s: %s", label(engine), trial.outcome)
        if self._task.calibration is not None and needs_calibration(engine) and trial.final:
            self._store.save_calibrated(trial)
        self._trials.append(trial)

    def _try(self, engine: Engine, crashes: int) -> Trial:
        """Try an engine; one that crashes for the first time is tried again at once."""
        name, clock = self._request.spec.model_name, self._clock
        left = "" if clock.quick else f" ({clock.left_s:.0f} s of {clock.limits.budget_s:g} s left)"
        tell.get()(f"trying {label(engine)} on {name}{left}")
        process = self._process(engine)
        allowed_s = clock.left_s
        try:
            trial = try_engine(process, self._task, self._reference, clock)
        except BaselineError as error:
            process.close()
            reason = f"plain Paddle, the baseline for validation, failed: {error}"
            trial = Trial(
                engine, "", "unfinished", reason, allowed_s=allowed_s, ended_at=time.time()
            )
        trial = replace(trial, crashes=trial.crashes + crashes)
        if trial.state == "crashed" and not trial.final and clock.left_s > 0:
            return self._try(engine, trial.crashes)
        return trial

    def _uncalibrated_trial(self, engine: Engine) -> Trial | None:
        """The trial of an int8 engine without images, if no new trial is needed."""
        if self._task.calibration is not None or not needs_calibration(engine):
            return None
        if self._request.has_int8:
            return None
        earlier = self._store.calibrated(engine)
        if earlier is None:
            return Trial(engine, "", "uncalibrated", _UNCALIBRATED)
        # An engine that failed validation on the user's images is not tried on those of hpip.
        return None if earlier.state == "verified" else replace(earlier, engine=engine)

    def _is_out_of_time(self) -> bool:
        clock = self._clock
        kept_s = 0.0 if clock.quick else _RACE_SHARE * clock.limits.budget_s
        return clock.left_s <= (kept_s if self.valid else 0.0)

    def _race(self) -> RaceResult:
        """Time plain Paddle and all engines with valid results, in turns."""
        name = self._request.spec.model_name
        tell.get()(f"comparing the speed of the engines on {name}")
        valid = self.valid
        result = Race(
            self._reference,
            [self._process(trial.engine) for trial in valid],
            [Sample(trial.time_ms or 0.0, trial.cpu_ms or 0.0) for trial in valid],
            self._task,
            self._clock,
        ).run()
        for trial, speed in zip(valid, result.speeds, strict=True):
            times = (None, None) if speed is None else (speed.time_ms, speed.cpu_ms)
            timed = replace(trial, time_ms=times[0], cpu_ms=times[1])
            self._trials[self._trials.index(trial)] = timed
        for position, failure in result.failures:
            index = [trial.engine for trial in self._trials].index(valid[position].engine)
            self._trials[index] = failed_trial(self._trials[index], failure, self._clock)
        return result

    def _process(self, engine: Engine) -> EngineProcess:
        name = label(engine)
        if name not in self._processes:
            self._processes[name] = EngineProcess(engine, self._task, self._clock)
        return self._processes[name]


def _is_due(trial: Trial, retry: bool, budget_s: float) -> bool:
    """Whether to repeat a cached trial now."""
    return not trial.final if retry else time.time() >= trial.due_at(budget_s)
