# SPDX-License-Identifier: Apache-2.0
"""Records of tuning results, and their conversion from and to JSON for the cache."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, Literal, TypeAlias

from hpip.common.devices import Device
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.ranking import Metric

State: TypeAlias = Literal[
    "verified",
    "wrong",
    "absent",
    "refused",
    "uncalibrated",
    "crashed",
    "failed",
    "hung",
    "out of memory",
    "unfinished",
]


_STATES_IN_WORDS: dict[State, str] = {
    "verified": "valid results",
    "wrong": "its results differ from plain Paddle's",
    "absent": "not available",
    "refused": "it does not support the model",
    "uncalibrated": "not calibrated",
    "crashed": "crashed",
    "failed": "failed",
    "hung": "timed out",
    "out of memory": "out of memory",
    "unfinished": "not validated yet",
}
# What does not depend on circumstances such as free memory, disk space or the machine's load.
_FINAL_STATES = ("verified", "wrong", "absent", "refused", "uncalibrated")
# A crash may have been an accident once.
_CRASHES = 2
# Circumstances may have changed after this time.
RETRY_AFTER_S = 3600.0
# Enough to load the engines and to time them.
_TO_CONFIRM_S = 10.0
# A step that ran out of time is tried again at once with this many times as much.
_MORE_TIME = 1.25


@dataclass(frozen=True)
class Trial:
    """The result of trying one engine on one model, in a child process.

    Attributes:
        engine: the engine that was tried.
        version: version of the engine.
        state: "verified": its results match plain Paddle's; "wrong": they do not match; "absent":
            the engine or its device is not available; "refused": the engine does not support an
            operator, the precision or the device; "uncalibrated": int8 has no calibration images
            yet; "crashed": its process died; "failed": it reported an error; "hung", "out of
            memory": it exceeded a limit; "unfinished": the tuning time ran out.
        reason: the evidence, in one line.
        time_ms: latency of one image, from pixels to run-length codes; None if not timed.
        cpu_ms: CPU time of one image; None if not timed.
        accuracy: measured differences from plain Paddle's results; empty if it returned none.
        peak_rss_bytes: peak resident memory of the child process; None if unknown.
        allowed_s: time limit of the trial.
        ended_at: end of the trial, in seconds since 1970.
        crashes: number of tries that crashed.
    """

    engine: Engine
    version: str
    state: State
    reason: str
    time_ms: float | None = None
    cpu_ms: float | None = None
    accuracy: str = ""
    peak_rss_bytes: int | None = None
    allowed_s: float = 0.0
    ended_at: float = 0.0
    crashes: int = 0

    @property
    def final(self) -> bool:
        """True if the state is a property of the engine and the model, not of circumstances."""
        return self.state in _FINAL_STATES or (self.state == "crashed" and self.crashes >= _CRASHES)

    def due_at(self, budget_s: float) -> float:
        """When to try the engine again, in seconds since 1970; infinite if never.

        Args:
            budget_s: tuning time of the next try.
        """
        if self.final:
            return math.inf
        return due_at(self.state == "unfinished", self.allowed_s, budget_s, self.ended_at)

    @property
    def outcome(self) -> str:
        """State and evidence in words, for reports and errors."""
        again = ""
        if not self.final:
            again = f"; hpip tries it again {_after(self.ended_at + RETRY_AFTER_S)}"
        return f"{_STATES_IN_WORDS[self.state]}: {self.reason}{again}"


def due_at(ran_out_of_time: bool, allowed_s: float, budget_s: float, ended_at: float) -> float:
    """When to repeat what failed because of its circumstances, in seconds since 1970.

    Args:
        ran_out_of_time: whether it failed for lack of tuning time; it is then repeated at once
            with much more.
        allowed_s: the time that it had.
        budget_s: the tuning time of the next try.
        ended_at: when it failed, in seconds since 1970.
    """
    if ran_out_of_time and budget_s >= _MORE_TIME * allowed_s:
        return 0.0
    return ended_at + RETRY_AFTER_S


def _after(seconds: float) -> str:
    when = datetime.fromtimestamp(seconds, timezone.utc)
    return f"at the first start after {when:%Y-%m-%d %H:%M} UTC, or with `hpip tune`"


@dataclass(frozen=True)
class EngineSelection:
    """The engine that tuning chose, and why it rejected the others.

    Attributes:
        engine: the chosen engine.
        reason: why, with measured values.
        rejected: label of each other engine, and why it was rejected.
    """

    engine: Engine
    reason: str
    rejected: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Verdict:
    """The result of tuning one model on this machine.

    Attributes:
        program: the graph that the engines ran: "cut" for the truncated graph, "untouched" for the
            original graph.
        program_reason: why hpip chose this graph.
        selection: the chosen engine and the rejected ones.
        trials: all trials, including those of rejected engines.
        baseline_ms: latency of plain Paddle, the baseline; None if it was not timed.
        baseline_cpu_ms: its CPU time.
        metric: what the engines were compared by.
        provisional: why the choice may change, in words; empty if it is certain.
        untried: labels of the candidates that hpip had no time to try.
        confirm_at: when to time the engines again because the order is not certain, in seconds
            since 1970; None if it is certain.
        budget_s: tuning time limit; a higher one may finish more trials.
    """

    program: Literal["cut", "untouched"]
    program_reason: str
    selection: EngineSelection
    trials: tuple[Trial, ...] = ()
    baseline_ms: float | None = None
    baseline_cpu_ms: float | None = None
    metric: Metric = "latency"
    provisional: str = ""
    untried: tuple[str, ...] = ()
    confirm_at: float | None = None
    budget_s: float = 0.0

    @property
    def complete(self) -> bool:
        """True if nothing is left to try or to confirm."""
        is_certain = not self.provisional
        return is_certain and not self.untried and all(trial.final for trial in self.trials)

    def is_due(self, budget_s: float) -> bool:
        """Whether tuning should continue now, with this tuning time."""
        now = time.time()
        if self.confirm_at is not None and now >= self.confirm_at and budget_s >= _TO_CONFIRM_S:
            return True
        # Less time than before leads to no better verdict.
        has_time = budget_s >= self.budget_s
        is_trial_due = any(now >= trial.due_at(budget_s) for trial in self.trials)
        return has_time and (bool(self.untried) or is_trial_due)

    def speedup(self, time_ms: float | None, cpu_ms: float | None) -> float | None:
        """Plain Paddle's time divided by an engine's, by the verdict's metric; None if unknown."""
        own, baseline = (
            (time_ms, self.baseline_ms)
            if self.metric == "latency"
            else (cpu_ms, self.baseline_cpu_ms)
        )
        return baseline / own if own and baseline else None


@dataclass(frozen=True)
class EngineRow:
    """One engine in a report.

    Attributes:
        engine: its label.
        status: "chosen" or "rejected".
        reason: why, in words.
        time_ms: latency of one image; None if not timed.
        cpu_ms: CPU time of one image; None if not timed.
        speedup: plain Paddle's time divided by the engine's; None if not timed.
        trial: the engine's trial; None for plain Paddle and for engines that were not tried.
    """

    engine: str
    status: str
    reason: str
    time_ms: float | None = None
    cpu_ms: float | None = None
    speedup: float | None = None
    trial: Trial | None = None


def engine_rows(verdict: Verdict, baseline: Engine | None) -> list[EngineRow]:
    """List all engines of a verdict for a report, the chosen one first.

    Args:
        verdict: the result of tuning.
        baseline: plain Paddle, as it was configured for tuning; None for a bundle.
    """
    trials = {label(trial.engine): trial for trial in verdict.trials}
    chosen = label(verdict.selection.engine), verdict.selection.reason
    rows: list[EngineRow] = []
    for name, reason in (chosen, *verdict.selection.rejected):
        status = "rejected" if rows else "chosen"
        trial = trials.get(name)
        time_ms = cpu_ms = None
        if trial is not None:
            time_ms, cpu_ms = trial.time_ms, trial.cpu_ms
        elif baseline is not None and name == label(baseline):
            time_ms, cpu_ms = verdict.baseline_ms, verdict.baseline_cpu_ms
        speedup = verdict.speedup(time_ms, cpu_ms)
        rows.append(EngineRow(name, status, reason, time_ms, cpu_ms, speedup, trial))
    return rows


def label(engine: Engine) -> str:
    """Short name of an engine for reports: backend, precision unless fp32, threads, settings."""
    precision = "" if engine.precision == "fp32" else f" {engine.precision}"
    threads = f", {engine.threads} thread{'s' * (engine.threads != 1)}"
    settings = "".join(
        f", {name}={value}"
        for name, value in sorted(engine.settings.items())
        if isinstance(value, str | int | float)
    )
    return f"{engine.backend}{precision}{threads}{settings}"


def to_json(record: Trial | Verdict | Engine) -> dict[str, Any]:
    """Convert a record to JSON values."""
    return asdict(record)


def engine_from_json(record: Mapping[str, Any]) -> Engine:
    """Convert JSON values back to an engine.

    Raises:
        KeyError, TypeError: another version of hpip wrote the record.
    """
    return Engine(**{**record, "device": Device(**record["device"])})


def trial_from_json(record: Mapping[str, Any]) -> Trial:
    """Convert JSON values back to a trial.

    Raises:
        KeyError, TypeError: another version of hpip wrote the record.
    """
    return Trial(**{**record, "engine": engine_from_json(record["engine"])})


def verdict_from_json(record: Mapping[str, Any]) -> Verdict:
    """Convert JSON values back to a verdict.

    Raises:
        KeyError, TypeError: another version of hpip wrote the record.
    """
    selection = record["selection"]
    return Verdict(
        **{
            **record,
            "selection": EngineSelection(
                engine_from_json(selection["engine"]),
                selection["reason"],
                tuple((name, reason) for name, reason in selection["rejected"]),
            ),
            "trials": tuple(trial_from_json(trial) for trial in record["trials"]),
            "untried": tuple(record["untried"]),
        }
    )
