# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import hpip
from hpip.errors import FailedInputsError, InvalidInputError
from hpip.inference.batches import Batch, Outcome, predict_in_batches
from hpip.inference.pipeline import InstanceSegPipeline
from hpip.inputs.sources import Source

IMAGE = np.full((64, 64, 3), 128, np.uint8)


def failing(batches: Iterator[Batch]) -> Iterator[Outcome]:
    for batch in batches:
        assert len(batch.sources) == len(batch.read_ms) <= 2
        assert min(batch.read_ms) > 0
        for source in batch.sources:
            yield source, InvalidInputError("no result")


def test_all_inputs_that_fail_are_one_error_and_a_single_one_is_its_own() -> None:
    failures: list[str] = []
    results = predict_in_batches([IMAGE] * 5, 2, failing, lambda name, _: failures.append(name))
    with pytest.raises(FailedInputsError) as error:
        list(results)
    assert len(error.value.failures) == len(failures) == 5
    with pytest.raises(InvalidInputError, match=r"^no result$"):
        list(predict_in_batches(IMAGE, 2, failing))


@pytest.mark.parametrize("predictors", [1, 2])
def test_results_of_one_and_of_several_predictors_record_the_time_to_read(
    tiny_model_dir: Path, predictors: int
) -> None:
    made = [
        hpip.create_predictor(model_dir=tiny_model_dir, device="cpu", use_hpip=False)
        for _ in range(predictors)
    ]
    with InstanceSegPipeline(made) as pipeline:
        results = list(pipeline.predict([IMAGE] * 3))
    assert all(result.stage_times.read_ms > 0 for result in results)


def test_sources_come_back_as_the_same_objects(tiny_model_dir: Path) -> None:
    sources = [Source(IMAGE, None, None, f"array[{index}]") for index in range(3)]
    with hpip.create_predictor(
        model_dir=tiny_model_dir, device="cpu", use_hpip=False, batch_size=2
    ) as predictor:
        outcomes = list(predictor.segment(sources, predictor.select(), [1.0, 2.0, 3.0]))
        untimed = list(predictor.segment(sources, predictor.select()))
    assert [source for source, _ in outcomes] == sources
    times = [result.stage_times.read_ms for _, result in outcomes]  # type: ignore[union-attr]
    assert times == [1.0, 2.0, 3.0]
    assert all(result.stage_times.read_ms == 0 for _, result in untimed)  # type: ignore[union-attr]
