# SPDX-License-Identifier: Apache-2.0
"""Several callers at once get their own answers, whatever the engine shares among them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import hpip
from hpip.backends.registry import backend_named
from hpip.common.devices import Device
from hpip.errors import HpipError, InvalidInputError
from hpip.inference.execution.plan import OriginalPlan
from hpip.inference.execution.postprocess import InstanceFilter
from hpip.inference.execution.runner import Engine, Runner
from hpip.model.spec import load_model_spec
from tests.pictures import rectangles

pytestmark = pytest.mark.usefixtures("fresh_cache")

PLAIN = {"backend": "paddle"}


def picture(index: int) -> np.ndarray:
    return rectangles(128, 128, red=(8 * index, 0, 8 * index + 16, 64))


@pytest.mark.parametrize("backend", ["paddle", "paddle_onednn", "onnxruntime", "openvino"])
def test_callers_share_weights_but_not_answers(backend: str, tiny_model_dir: Path) -> None:
    try:
        version = backend_named(backend).probe().version
    except InvalidInputError as error:
        pytest.skip(str(error))
    if version is None:
        pytest.skip(backend_named(backend).probe().reason)
    spec = load_model_spec(tiny_model_dir)
    engine = Engine(backend, Device("cpu"), 1)
    try:
        runner = Runner(OriginalPlan(spec), spec.preprocess, engine, workers=3)
    except HpipError as error:
        pytest.skip(f"{backend} does not take the tiny model: {error}")
    wrong: list[int] = []
    start = threading.Barrier(6)

    def work(index: int) -> None:
        start.wait()
        for _ in range(20):
            (found,) = runner.infer([picture(index)], InstanceFilter(0.5))
            if found.boxes_xyxy.tolist() != [[8 * index, 0, 8 * index + 16, 64]]:
                wrong.append(index)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    runner.close()
    assert wrong == []


def test_a_list_is_worked_on_by_all_workers_and_keeps_its_order(tiny_model_dir: Path) -> None:
    pictures: list[object] = [picture(i % 9) for i in range(25)]
    pictures[7] = "missing.png"
    with hpip.create_pipeline(
        model_dir=tiny_model_dir, device="cpu", workers=3, threads=3, hpi_config=PLAIN
    ) as pipeline:
        assert "1 CPU thread for each of 3 workers" in pipeline.explain()
        results = list(pipeline.predict(pictures))
    expected = [8 * (i % 9) for i in range(25) if i != 7]
    assert [result.boxes_xyxy[0, 0] for result in results] == expected


def onednn_or_skip() -> dict[str, str]:
    probe = backend_named("paddle_onednn").probe()
    if probe.version is None:
        pytest.skip(probe.reason)
    return {"backend": "paddle_onednn"}


def test_workers_of_an_engine_that_is_not_parallel_take_turns() -> None:
    pictures = [rectangles(128, 128, red=(8 * i, 0, 8 * i + 16, 64)) for i in range(5)] * 4
    config = onednn_or_skip()
    failed: list[str] = []
    with (
        hpip.create_pipeline(model="demo", device="cpu", threads=2, hpi_config=config) as one,
        hpip.create_pipeline(
            model="demo", device="cpu", threads=2, workers=2, hpi_config=config
        ) as two,
    ):
        assert "2 CPU threads; 2 workers take turns, because paddle_onednn" in two.explain()
        assert "take turns" not in one.explain()
        alone = list(one.predict(list(pictures)))
        for _ in range(2):
            together = list(
                two.predict(list(pictures), on_failure=lambda name, _: failed.append(name))
            )
            assert failed == []
            assert [r.boxes_xyxy.tolist() for r in together] == [
                r.boxes_xyxy.tolist() for r in alone
            ]


def test_two_predictors_on_onednn_answer_at_the_same_time() -> None:
    config = onednn_or_skip()
    shots = [rectangles(96 + 16 * i, 128, red=(8, 8, 60, 60)) for i in range(6)]
    predictors = [
        hpip.create_predictor("demo", device="cpu", threads=1, hpi_config=config) for _ in range(2)
    ]
    wanted = [[r.boxes_xyxy.tolist() for r in predictors[0].predict(shot)] for shot in shots]
    start = threading.Barrier(2)

    def work(predictor: hpip.Predictor) -> list[object]:
        start.wait()
        return [[r.boxes_xyxy.tolist() for r in predictor.predict(shot)] for shot in shots * 2]

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(work, predictors))
    for predictor in predictors:
        predictor.close()
    assert found == [wanted * 2] * 2


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_other_numbers_of_workers_are_errors(tiny_model_dir: Path, workers: object) -> None:
    with pytest.raises(InvalidInputError, match="workers: expected a whole number"):
        hpip.create_predictor(model_dir=tiny_model_dir, device="cpu", workers=workers)
