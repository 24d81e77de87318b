# SPDX-License-Identifier: Apache-2.0
"""Short versions of benchmarks/serving: the same code, less of it, and no word about time."""

from __future__ import annotations

import base64
import json
import random
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.serving import fuzz, latency, load
from benchmarks.serving.judge import Judge, WrongAnswerError
from benchmarks.serving.questions import Asked, make_pictures
from benchmarks.serving.raw_http import Reply

MODEL = {"model": "demo", "device": "cpu"}
FLAGS = ("--model", "demo", "--device", "cpu")


@pytest.mark.slow
def test_a_short_mixed_load_gets_right_answers_only(tmp_path: Path) -> None:
    figures = load.run(MODEL, FLAGS, clients=8, duration_s=10, log=tmp_path / "log")
    assert figures["examples"] == {"wrong": [], "lost": []}
    assert figures["unexpected_5xx"] == 0
    assert figures["processes_kept"]
    assert figures["statuses"]["good 200"] > 0


@pytest.mark.slow
def test_a_short_fuzzing_finds_no_server_error(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="it makes a third of the requests")
    figures = fuzz.run(FLAGS, 120, seed=1, log=tmp_path / "log")
    assert figures["examples"] == []
    assert figures["unanswered_pictures"] == 0
    assert figures["processes_kept"]
    assert figures["answers_after"]


@pytest.mark.slow
def test_the_latency_benchmark_runs(tmp_path: Path) -> None:
    args = latency.parser().parse_args(["--rounds", "1", "--crowd-requests", "8"])
    figures = latency.run(args, tmp_path)
    assert figures["left_out"] == {}
    assert set(figures["one_client"]) == {"hpip", "hpip, drawn"}
    assert all(row["overhead_ms"] > 0 for row in figures["one_client"].values())
    assert figures["8_clients"]["hpip"]["requests_per_s"] > 0


@pytest.fixture(scope="module")
def judge() -> Judge:
    pictures = make_pictures(load.DEMO)
    made = Judge(pictures, MODEL)
    made.prepare([Asked(("coins.png",))])
    return made


def right_answer(judge: Judge) -> dict[str, Any]:
    result = judge.expected("coins.png", None)
    instances = [
        {
            "bbox": box,
            "categoryId": class_id,
            "categoryName": label,
            "score": score,
            "mask": {"rleResult": mask.counts.decode(), "size": list(mask.crop_hw)},
        }
        for box, class_id, label, score, mask in zip(
            result.boxes_xyxy.tolist(),
            result.class_ids.tolist(),
            result.labels,
            result.scores.tolist(),
            result.rle,
            strict=True,
        )
    ]
    return {"errorCode": 0, "errorMsg": "Success", "result": {"instances": instances}}


def reply(answer: dict[str, Any]) -> Reply:
    return Reply(200, {}, json.dumps({"logId": "1", **answer}).encode())


def test_the_judge_takes_the_right_answer(judge: Judge) -> None:
    for _ in range(2):
        judge.check(Asked(("coins.png",)), reply(right_answer(judge)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("score", 0.5),
        ("categoryId", 3),
        ("categoryName", "apple"),
        ("bbox", [0.0, 0.0, 5.0, 5.0]),
        ("mask", {"rleResult": "51", "size": [3, 4]}),
        ("mask", None),
    ],
)
def test_the_judge_sees_a_wrong_answer(judge: Judge, key: str, value: Any) -> None:
    answer = right_answer(judge)
    answer["result"]["instances"][5][key] = value
    with pytest.raises(WrongAnswerError):
        judge.check(Asked(("coins.png",)), reply(answer))


def test_the_judge_misses_instances_and_pictures(judge: Judge) -> None:
    answer = right_answer(judge)
    answer["result"]["instances"].pop()
    with pytest.raises(WrongAnswerError, match="instances in place of"):
        judge.check(Asked(("coins.png",)), reply(answer))
    answer = right_answer(judge)
    answer["result"]["image"] = base64.b64encode(b"?").decode()
    with pytest.raises(WrongAnswerError, match="picture"):
        judge.check(Asked(("coins.png",)), reply(answer))


def test_flat_memory_has_no_drift_and_growing_memory_has() -> None:
    times = np.arange(0, 600, 2.0)
    noise = np.random.default_rng(0).integers(0, 10**6, times.size)
    flat = list(zip(times, 500_000_000 + noise, strict=True))
    leak = list(zip(times, 500_000_000 + noise + 10**5 * times, strict=True))
    assert abs(load.memory_drift(flat)["drift"]) < 0.002
    assert load.memory_drift(leak)["drift"] == pytest.approx(4e7 / 5.4e8, rel=0.1)


@pytest.mark.parametrize("make", [fuzz.changed_requests, fuzz.changed_pictures])
def test_damages_differ_and_can_be_repeated(make: Any) -> None:
    first = list(islice(make(random.Random(7)), 50))
    assert first == list(islice(make(random.Random(7)), 50))
    assert len(set(first)) > 45
