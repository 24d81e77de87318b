# SPDX-License-Identifier: Apache-2.0
"""PaddleX's predictor class by its calling convention, without PaddleX."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import GeneratorType

import pytest
import yaml

import hpip
from hpip import InstanceSegPredictor
from hpip.errors import InvalidInputError
from tests.pictures import rectangles

PICTURE = rectangles(64, 128, red=(8, 8, 40, 32), blue=(60, 20, 100, 60))


@pytest.fixture(scope="module")
def predictor(tiny_model_dir: Path) -> Iterator[InstanceSegPredictor]:
    config = yaml.safe_load((tiny_model_dir / "inference.yml").read_text(encoding="utf-8"))
    with InstanceSegPredictor(str(tiny_model_dir), config, device="cpu", threshold=0.5) as made:
        yield made


def test_a_call_is_a_generator_of_results(predictor: InstanceSegPredictor) -> None:
    results = predictor([PICTURE, PICTURE], batch_size=2)
    assert isinstance(results, GeneratorType)
    first, second = results
    assert isinstance(first, hpip.InstanceSegResult)
    assert [box["label"] for box in first["boxes"]] == ["red", "blue"]
    assert first["boxes"] == second["boxes"]
    (again,) = predictor.predict(PICTURE)
    assert again["boxes"] == first["boxes"]


def test_the_threshold_of_a_call_wins(predictor: InstanceSegPredictor) -> None:
    (none,) = predictor(PICTURE, threshold=0.99)
    assert none["boxes"] == []


def test_it_tells_what_it_is(predictor: InstanceSegPredictor, tiny_model_dir: Path) -> None:
    assert predictor.model_name == "tiny-boxes"
    assert predictor.model_dir == tiny_model_dir
    assert "tiny-boxes" in predictor.explain()


def test_use_hpip_off_gives_the_same(predictor: InstanceSegPredictor, tiny_model_dir: Path) -> None:
    with InstanceSegPredictor(tiny_model_dir, device="cpu", use_hpip=False) as plain:
        (expected,), (found,) = plain(PICTURE), predictor(PICTURE)
    assert expected["boxes"] == found["boxes"]


def test_a_model_of_another_name_is_refused(tiny_model_dir: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"tiny-boxes.*SOLOv2"):
        InstanceSegPredictor(tiny_model_dir, model_name="SOLOv2", device="cpu")
    with pytest.raises(InvalidInputError, match=r"tiny-boxes.*SOLOv2"):
        InstanceSegPredictor(tiny_model_dir, {"Global": {"model_name": "SOLOv2"}}, device="cpu")


def test_what_hpip_can_not_honour_is_an_error(tiny_model_dir: Path) -> None:
    with pytest.raises(InvalidInputError, match="hpi_config"):
        InstanceSegPredictor(tiny_model_dir, device="cpu", pp_option=object())
    with pytest.raises(InvalidInputError, match="batch_size"):
        InstanceSegPredictor(tiny_model_dir, device="cpu").set_predictor(batch_size=0)
