# SPDX-License-Identifier: Apache-2.0
"""Records of tuning results, and their conversion from and to JSON for the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from hpip.common.devices import Device
from hpip.inference.execution.runner import Engine

State: TypeAlias = Literal[
    "verified",
    "wrong",
    "absent",
    "crashed",
    "hung",
    "out of memory",
    "refused",
    "uncalibrated",
    "unfinished",
]


_STATES_IN_WORDS: dict[State, str] = {
    "verified": "valid results",
    "wrong": "its results differ from plain Paddle's",
    "absent": "not available",
    "crashed": "crashed",
    "hung": "timed out",
    "out of memory": "out of memory",
    "refused": "it can't run the model",
    "uncalibrated": "not calibrated",
    "unfinished": "not validated yet",
}


@dataclass(frozen=True)
class Trial:
    """The result of trying one engine on one model, in a child process.

    Attributes:
        engine: the engine that was tried.
        version: version of the engine.
        state: "verified": its results match plain Paddle's, and it was timed; "wrong": they do not
            match; "absent": the engine or its device is not available; "refused": the engine can't
            run the model; "uncalibrated": int8 has no calibration images yet; "unfinished": the
            tuning time ran out, and a later start continues.
        reason: the evidence, in one line.
        time_ms: median latency of one image, from pixels to run-length codes; None if not timed.
        ratio: median ratio of its latency to plain Paddle's, measured interleaved; None if not
            timed.
        accuracy: measured differences from plain Paddle's results; empty if it returned none.
        peak_rss_bytes: peak resident memory of the child process; None if unknown.
        allowed_s: time limit of the trial.
        attempts: number of tries; a trial that does not finish is repeated only a few times.
    """

    engine: Engine
    version: str
    state: State
    reason: str
    time_ms: float | None = None
    ratio: float | None = None
    accuracy: str = ""
    peak_rss_bytes: int | None = None
    allowed_s: float = 0.0
    attempts: int = 1

    @property
    def final(self) -> bool:
        """True if another try would give the same state."""
        return self.state != "unfinished"

    @property
    def outcome(self) -> str:
        """State and evidence in words, for reports and errors."""
        return f"{_STATES_IN_WORDS[self.state]}: {self.reason}"


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
        baseline_ms: median latency of plain Paddle, the baseline; None if nothing was timed.
        complete: True if all trials finished.
        budget_s: tuning time limit; a higher one may finish more trials.
    """

    program: Literal["cut", "untouched"]
    program_reason: str
    selection: EngineSelection
    trials: tuple[Trial, ...] = ()
    baseline_ms: float | None = None
    complete: bool = True
    budget_s: float = 0.0


@dataclass(frozen=True)
class EngineRow:
    """One engine in a report.

    Attributes:
        engine: its label.
        status: "chosen" or "rejected".
        reason: why, in words.
        time_ms: median latency of one image; None if not timed.
        speedup: plain Paddle's latency divided by the engine's; None if not timed.
        trial: the engine's trial; None for plain Paddle and for engines that were not tried.
    """

    engine: str
    status: str
    reason: str
    time_ms: float | None = None
    speedup: float | None = None
    trial: Trial | None = None


def engine_rows(verdict: Verdict, baseline: Engine) -> list[EngineRow]:
    """List all engines of a verdict for a report, the chosen one first.

    Args:
        verdict: the result of tuning.
        baseline: plain Paddle, as it was configured for tuning.
    """
    trials = {label(trial.engine): trial for trial in verdict.trials}
    chosen = label(verdict.selection.engine), verdict.selection.reason
    rows: list[EngineRow] = []
    for name, reason in (chosen, *verdict.selection.rejected):
        status = "rejected" if rows else "chosen"
        trial = trials.get(name)
        time_ms = speedup = None
        if trial is not None:
            time_ms, speedup = trial.time_ms, 1 / trial.ratio if trial.ratio else None
        elif name == label(baseline) and verdict.baseline_ms is not None:
            time_ms, speedup = verdict.baseline_ms, 1.0
        rows.append(EngineRow(name, status, reason, time_ms, speedup, trial))
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
        }
    )
