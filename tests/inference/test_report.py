# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from hpip.common.devices import Device
from hpip.inference.execution.plan import Plan
from hpip.inference.execution.runner import Engine
from hpip.inference.report import engine_table
from hpip.inference.tuning.candidates import TuningRequest
from hpip.inference.tuning.choose import Choice
from hpip.inference.tuning.race import RaceResult
from hpip.inference.tuning.ranking import Speed
from hpip.inference.tuning.records import Trial, Verdict
from hpip.inference.tuning.select import select

CPU = Device("cpu")
PADDLE, FAST, SLOW, NEW = (
    Engine(name, CPU, 2) for name in ("paddle", "openvino", "paddle_onednn", "onnxruntime")
)
TRIALS = (
    Trial(SLOW, "1", "crashed", "process ended by SIGABRT\nin its second line", crashes=2),
    Trial(FAST, "1", "verified", "same results as plain Paddle", 20.0, 30.0),
)
RACE = RaceResult(FAST, Speed(80.0, 90.0))
VERDICT = Verdict(
    "cut",
    "why",
    select(PADDLE, TRIALS, RACE, [NEW]),
    TRIALS,
    80.0,
    90.0,
    untried=("onnxruntime, 2 threads",),
)


def table(choice: Choice, running: Engine) -> list[list[str]]:
    """Engine, status and the rest of each row."""
    header, *rows = engine_table(choice, running).splitlines()
    assert header.split()[:2] == ["engine", "status"]
    cells = [row.replace(", 2 threads", "").split(maxsplit=2) for row in rows]
    return [[*row[:2], " ".join(row[2].split())] for row in cells]


def choice(fallback: Engine | None, verdict: Verdict | None = VERDICT) -> Choice:
    request = None if fallback is None else SimpleNamespace(baseline=PADDLE)
    return Choice(
        *(cast(Plan, None), FAST, fallback, "the reason", verdict), cast(TuningRequest, request)
    )


def test_the_chosen_engine_is_first_and_each_other_one_has_its_reason() -> None:
    assert table(choice(PADDLE), FAST) == [
        [
            "openvino",
            "chosen",
            "20.0 ms 30.0 ms 4.00x same results as plain Paddle; 4.00 times as fast as plain "
            "Paddle; the tuning time ended before onnxruntime could be tried: run `hpip tune` "
            "with this model once",
        ],
        ["paddle_onednn", "rejected", "crashed: process ended by SIGABRT in its second line"],
        ["onnxruntime", "rejected", "not tried yet"],
        [
            "paddle",
            "rejected",
            "80.0 ms 90.0 ms 1.00x baseline; the chosen engine is 4.00 times as fast",
        ],
    ]


def test_the_fallback_engine_is_first_when_the_chosen_one_does_not_load() -> None:
    first, second, *others = table(choice(PADDLE), PADDLE)
    assert first[:2] == ["paddle", "chosen"]
    assert "fallback engine, because openvino could not load" in first[2]
    assert second == ["openvino", "rejected", "it could not load the model"]
    assert [row[0] for row in others] == ["paddle_onednn", "onnxruntime"]


def test_a_named_engine_and_an_untuned_one_are_alone() -> None:
    assert table(choice(None), FAST) == [["openvino", "chosen", "the caller named this backend"]]
    assert table(choice(None, None), FAST) == [["openvino", "chosen", "the reason"]]
