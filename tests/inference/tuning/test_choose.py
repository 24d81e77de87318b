# SPDX-License-Identifier: Apache-2.0
"""Predictors run the truncated graph if its results match the original graph's."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml

import hpip
from hpip.common import interpreter
from hpip.common.devices import Device
from hpip.errors import InvalidInputError, ModelFormatError
from hpip.graph.compile import compile_model
from hpip.inference.execution.plan import OriginalPlan, TruncatedPlan
from hpip.inference.tuning import child_process
from hpip.inference.tuning.candidates import EngineOptions
from hpip.inference.tuning.choose import Choice, choose
from hpip.inference.tuning.images import scene
from hpip.model.spec import ModelSpec, load_model_spec
from hpip.results.comparison import compare
from tests.graph.heads import coefficient_masks, image_masks, matrix_nms_masks, region_masks

SETTINGS = {
    "mode": "paddle",
    "draw_threshold": 0.5,
    "Preprocess": [
        {"type": "Resize", "target_size": [32, 32], "keep_ratio": False, "interp": 2},
        {
            "type": "NormalizeImage",
            "is_scale": True,
            "mean": [0.4, 0.4, 0.4],
            "std": [0.2, 0.2, 0.2],
        },
        {"type": "Permute"},
    ],
    "label_list": ["one", "two", "three"],
    "Global": {"model_name": "Little"},
}
# These tests are about the truncated graph, not the choice of an engine for it.
PLAIN = {"backend": "paddle"}
HEADS = {
    "image": image_masks,
    "queries": partial(image_masks, from_queries=True),
    "region": region_masks,
    "coefficient": coefficient_masks,
    "matrix_nms": matrix_nms_masks,
}

pytestmark = pytest.mark.usefixtures("fresh_cache")


def model_dir(folder: Path, head: Callable[[Path], Path]) -> Path:
    folder.mkdir()
    (folder / "inference.yml").write_text(yaml.safe_dump(SETTINGS))
    return head(folder)


@pytest.mark.parametrize("name", HEADS)
def test_both_programs_give_the_same_answers(name: str, tmp_path: Path) -> None:
    folder = model_dir(tmp_path / "model", HEADS[name])
    images = [scene(60, 80, 1), scene(97, 33, 2), scene(64, 64, 3)]
    with (
        hpip.create_predictor(model_dir=folder, device="cpu", hpi_config=PLAIN) as truncated,
        hpip.create_predictor(model_dir=folder, device="cpu", use_hpip=False) as original,
    ):
        assert "truncated graph" in truncated.explain()
        assert "same results as the original graph" in truncated.explain()
        assert "original graph" in original.explain()
        for threshold in (0.1, 0.4, 0.6):
            found = list(truncated.predict(images, threshold=threshold))
            wanted = list(original.predict(images, threshold=threshold))
            for ours, theirs in zip(found, wanted, strict=True):
                comparison = compare(theirs, ours, threshold)
                assert comparison.same, comparison.violations()


@pytest.mark.parametrize("name", ["queries", "coefficient"])
def test_batches_come_out_as_single_images(name: str, tmp_path: Path) -> None:
    folder = model_dir(tmp_path / "model", HEADS[name])
    images = [scene(60, 80, 1), scene(97, 33, 2), scene(64, 64, 3)]
    with hpip.create_predictor(
        model_dir=folder, device="cpu", batch_size=3, hpi_config=PLAIN
    ) as predictor:
        assert "the graph supports any batch size" in predictor.explain()
        together = list(predictor.predict(images, threshold=0.2))
        for image, result in zip(images, together, strict=True):
            (alone,) = predictor.predict(image, threshold=0.2)
            assert len(alone.scores) == len(result.scores)
            np.testing.assert_allclose(result.boxes_xyxy, alone.boxes_xyxy, atol=1e-3)


def chosen(spec: ModelSpec) -> Choice:
    """On plain Paddle, so that hpip validates only the truncated graph."""
    return choose(
        spec, Device("cpu"), use_hpip=True, threads=1, options=EngineOptions(backend="paddle")
    )


def test_the_check_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_model_spec(model_dir(tmp_path / "model", image_masks))
    first = chosen(spec)
    assert isinstance(first.plan, TruncatedPlan)
    monkeypatch.setattr(child_process.subprocess, "Popen", None)
    again = chosen(spec)
    assert isinstance(again.plan, TruncatedPlan)
    assert again.reason == first.reason


def test_a_wrong_truncated_graph_is_not_used(tmp_path: Path) -> None:
    folder = model_dir(tmp_path / "model", image_masks)
    spec = load_model_spec(folder)
    compiled = compile_model(spec.files)
    index = compiled.segments[0].files.program.with_name("index.json")
    entry = json.loads(index.read_text())
    entry["record"]["masks"]["threshold"] = 0.4
    index.write_text(json.dumps(entry))
    found = chosen(spec)
    assert isinstance(found.plan, OriginalPlan)
    assert "mask IoU" in found.reason


def test_a_child_that_dies_at_once_leaves_the_original_graph_for_this_start_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load_model_spec(model_dir(tmp_path / "model", image_masks))
    with monkeypatch.context() as patch:
        patch.setattr(interpreter, "find_interpreter", lambda: "/bin/false")
        for _ in range(3):
            found = chosen(spec)
            assert isinstance(found.plan, OriginalPlan)
            assert "exit code 1" in found.reason
    assert isinstance(chosen(spec).plan, TruncatedPlan)


def test_the_budget_bounds_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_model_spec(model_dir(tmp_path / "model", image_masks))
    monkeypatch.setenv("HPIP_TUNE_BUDGET_S", "0.01")
    found = choose(spec, Device("cpu"), use_hpip=True, threads=1)
    assert isinstance(found.plan, OriginalPlan)
    assert "the check did not finish" in found.reason


def test_a_budget_that_is_no_number_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load_model_spec(model_dir(tmp_path / "model", image_masks))
    for text in ("soon", "-1", "nan", "inf"):
        monkeypatch.setenv("HPIP_TUNE_BUDGET_S", text)
        with pytest.raises(InvalidInputError, match="HPIP_TUNE_BUDGET_S"):
            choose(spec, Device("cpu"), use_hpip=True, threads=1)


def test_use_hpip_off_touches_nothing(tmp_path: Path, fresh_cache: Path) -> None:
    spec = load_model_spec(model_dir(tmp_path / "model", image_masks))
    found = choose(spec, Device("cpu"), use_hpip=False, threads=1)
    assert isinstance(found.plan, OriginalPlan)
    assert "off" in found.reason
    assert not fresh_cache.exists()


def test_a_missing_parameter_is_an_error(tmp_path: Path) -> None:
    folder = model_dir(tmp_path / "model", image_masks)
    params = folder / "inference.pdiparams"
    params.write_bytes(params.read_bytes()[:50])
    with pytest.raises(ModelFormatError, match="ends before"):
        choose(load_model_spec(folder), Device("cpu"), use_hpip=True, threads=1)


def test_scenes_are_always_the_same() -> None:
    np.testing.assert_array_equal(scene(30, 40), scene(30, 40))
    assert scene(30, 40).shape == (30, 40, 3)
