# SPDX-License-Identifier: Apache-2.0
"""What tuning found out, as records that go into the cache and come back."""

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


@dataclass(frozen=True)
class Trial:
    """One engine, tried on one model in a process of its own.

    Attributes:
        engine: what was tried.
        version: of the engine.
        state: "verified": it gave plain Paddle's answers and was timed; "absent": the engine or its
            device is not here;
            "refused": the engine does not take the model; "uncalibrated": it needs pictures for
            int8 first; "unfinished": the time was up, and a later start goes on.
        reason: the evidence, one line.
        time_ms: median time of one picture, from pixels to run-length codes; None unless timed.
        ratio: median of its time over plain Paddle's in the same round; None unless timed.
        accuracy: how close its answers were; empty where it gave none.
        peak_rss_bytes: of its process; None where it is not known.
        allowed_s: the time that it was given.
        attempts: how often it was made; what does not end is not tried for ever.
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
        """Whether another try would find the same."""
        return self.state != "unfinished"


@dataclass(frozen=True)
class Selection:
    """Which engine serves.

    Attributes:
        engine: the chosen one.
        reason: why, with figures.
        rejected: every other engine (by label) with the reason.
    """

    engine: Engine
    reason: str
    rejected: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Verdict:
    """Everything that is known about running one model here.

    Attributes:
        program: what the engines were given: the cut program or the untouched one.
        program_reason: why.
        selection: which engine serves, and why not the others.
        trials: every trial, the rejected ones too.
        floor_ms: median time of plain Paddle over all rounds; None where nothing was timed.
        complete: whether every engine's trial came to its end.
        budget_s: the time that was given; more of it may settle what is unfinished.
    """

    program: Literal["cut", "untouched"]
    program_reason: str
    selection: Selection
    trials: tuple[Trial, ...] = ()
    floor_ms: float | None = None
    complete: bool = True
    budget_s: float = 0.0


def label(engine: Engine) -> str:
    """Short name of an engine for people: backend, precision where it is not fp32, threads."""
    precision = "" if engine.precision == "fp32" else f" {engine.precision}"
    threads = f", {engine.threads} thread{'s' * (engine.threads != 1)}"
    settings = "".join(
        f", {name}={value}"
        for name, value in sorted(engine.settings.items())
        if isinstance(value, str | int | float)
    )
    return f"{engine.backend}{precision}{threads}{settings}"


def to_json(record: Trial | Verdict | Engine) -> dict[str, Any]:
    """The record as JSON takes it."""
    return asdict(record)


def engine_from_json(record: Mapping[str, Any]) -> Engine:
    """The inverse of `to_json` for an engine.

    Raises:
        KeyError, TypeError: the record is of another version.
    """
    return Engine(**{**record, "device": Device(**record["device"])})


def trial_from_json(record: Mapping[str, Any]) -> Trial:
    """The inverse of `to_json` for a trial.

    Raises:
        KeyError, TypeError: the record is of another version.
    """
    return Trial(**{**record, "engine": engine_from_json(record["engine"])})


def verdict_from_json(record: Mapping[str, Any]) -> Verdict:
    """The inverse of `to_json` for a verdict.

    Raises:
        KeyError, TypeError: the record is of another version.
    """
    selection = record["selection"]
    return Verdict(
        **{
            **record,
            "selection": Selection(
                engine_from_json(selection["engine"]),
                selection["reason"],
                tuple((name, reason) for name, reason in selection["rejected"]),
            ),
            "trials": tuple(trial_from_json(trial) for trial in record["trials"]),
        }
    )
