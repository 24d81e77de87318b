# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import pytest

import hpip
from hpip.common import timing
from hpip.common.timing import StageTimes, Stopwatch, timed
from hpip.types import UInt8Array


def picture(seed: int = 0) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, (96, 128, 3), np.uint8)


def test_every_moment_goes_to_one_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    moments_s = iter([1.0, 1.5, 2.5, 2.75, 4.75, 5.0])
    monkeypatch.setattr(timing, "perf_counter", lambda: next(moments_s))
    watch = Stopwatch()
    for stage in ("preprocess", "wait", "infer", "postprocess", "infer"):
        watch.lap(stage)  # type: ignore[arg-type]
    alone = watch.share(1)
    assert alone == StageTimes(
        preprocess_ms=500, wait_ms=1000, infer_ms=250 + 250, postprocess_ms=2000
    )
    assert alone.total_ms == 4000
    assert watch.share(4).total_ms == 1000


def test_an_iterators_own_time_is_measured_and_not_its_users() -> None:
    def slow() -> Iterator[int]:
        for number in range(2):
            time.sleep(0.03)
            yield number

    start = perf_counter()
    measured = []
    for number, ms in timed(slow()):
        measured.append((number, ms))
        time.sleep(0.2)
    wall_ms = (perf_counter() - start) * 1e3
    assert [number for number, _ in measured] == [0, 1]
    assert all(ms >= 29 for _, ms in measured)
    assert sum(ms for _, ms in measured) <= wall_ms - 399


@pytest.mark.parametrize("batch_size", [1, 3])
def test_results_tell_their_stages(tiny_model_dir: Path, tmp_path: Path, batch_size: int) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for i, path in enumerate(paths):
        cv2.imwrite(str(path), picture(i))
    with hpip.create_predictor(
        model_dir=tiny_model_dir, use_hpip=False, batch_size=batch_size
    ) as predictor:
        start = perf_counter()
        results = list(predictor.predict([str(path) for path in paths]))
        wall_ms = (perf_counter() - start) * 1e3
    for result in results:
        assert min(astuple(result.stage_times)) > 0
        assert "stage_times" not in json.dumps(result.json)
    # Divided among the images of a batch, so that nothing is counted twice.
    assert sum(result.stage_times.total_ms for result in results) <= wall_ms


def test_stages_belong_to_one_caller(tiny_model_dir: Path) -> None:
    with hpip.create_predictor(model_dir=tiny_model_dir, use_hpip=False) as predictor:

        def call(seed: int) -> tuple[float, float]:
            image = picture(seed)
            start = perf_counter()
            (result,) = predictor.predict(image)
            return result.stage_times.total_ms, (perf_counter() - start) * 1e3

        with ThreadPoolExecutor(4) as executor:
            for total_ms, wall_ms in executor.map(call, range(16)):
                assert 0 < total_ms <= wall_ms
