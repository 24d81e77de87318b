# SPDX-License-Identifier: Apache-2.0
"""Short versions of benchmarks/serving: the same code with less work; no test asserts a time."""

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
from benchmarks.serving.raw_http import Reply
from benchmarks.serving.request_cases import ValidRequest, make_images
from benchmarks.serving.validation import ResponseValidator, WrongResponseError

MODEL = {"model": "demo", "device": "cpu"}
FLAGS = ("--model", "demo", "--device", "cpu")


@pytest.mark.slow
def test_a_short_mixed_load_gets_correct_responses_only(tmp_path: Path) -> None:
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
def validator() -> ResponseValidator:
    images = make_images(load.DEMO)
    made = ResponseValidator(images, MODEL)
    made.prepare([ValidRequest(("coins.png",))])
    return made


def correct_content(validator: ResponseValidator) -> dict[str, Any]:
    result = validator.expected("coins.png", None)
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


def reply(content: dict[str, Any]) -> Reply:
    return Reply(200, {}, json.dumps({"logId": "1", **content}).encode())


def test_a_correct_response_passes(validator: ResponseValidator) -> None:
    for _ in range(2):
        validator.check(ValidRequest(("coins.png",)), reply(correct_content(validator)))


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
def test_a_wrong_response_is_found(validator: ResponseValidator, key: str, value: Any) -> None:
    content = correct_content(validator)
    content["result"]["instances"][5][key] = value
    with pytest.raises(WrongResponseError):
        validator.check(ValidRequest(("coins.png",)), reply(content))


def test_missing_instances_and_wrong_images_are_found(validator: ResponseValidator) -> None:
    content = correct_content(validator)
    content["result"]["instances"].pop()
    with pytest.raises(WrongResponseError, match="instances; received"):
        validator.check(ValidRequest(("coins.png",)), reply(content))
    content = correct_content(validator)
    content["result"]["image"] = base64.b64encode(b"?").decode()
    with pytest.raises(WrongResponseError, match="image"):
        validator.check(ValidRequest(("coins.png",)), reply(content))


def test_flat_memory_has_no_drift_and_growing_memory_has() -> None:
    times = np.arange(0, 600, 2.0)
    noise = np.random.default_rng(0).integers(0, 10**6, times.size)
    flat = list(zip(times, 500_000_000 + noise, strict=True))
    leak = list(zip(times, 500_000_000 + noise + 10**5 * times, strict=True))
    assert abs(load.memory_drift(flat)["drift"]) < 0.002
    assert load.memory_drift(leak)["drift"] == pytest.approx(4e7 / 5.4e8, rel=0.1)


@pytest.mark.parametrize("make", [fuzz.damaged_requests, fuzz.damaged_images])
def test_damages_differ_and_can_be_repeated(make: Any) -> None:
    first = list(islice(make(random.Random(7)), 50))
    assert first == list(islice(make(random.Random(7)), 50))
    assert len(set(first)) > 45
