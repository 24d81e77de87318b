# SPDX-License-Identifier: Apache-2.0
"""The tutorial's Python code, unchanged but for hpip being enabled: same answers, own results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from hpip.errors import BackendUnavailableError, InvalidInputError
from tests.paddlex.answers import assert_same_answer
from tests.paddlex.conftest import DEMO, pipeline_config
from tests.pictures import rectangles

PHOTOS = [str(DEMO / name) for name in ("coins.png", "scene_0013.jpg", "scene_0015.jpg")]


def runs_on_hpip(model: Any) -> bool:
    return any(cls.__module__.startswith("hpip.") for cls in type(model).__mro__)


def demo_model(paddlex: ModuleType, **options: Any) -> Any:
    return paddlex.create_model("hpip-demo", model_dir=str(DEMO), device="cpu", **options)


def test_a_model_gives_the_same_answers_with_and_without_use_hpip(paddlex: ModuleType) -> None:
    plain, fast = demo_model(paddlex), demo_model(paddlex, use_hpip=True)
    assert not runs_on_hpip(plain._predictor)
    assert runs_on_hpip(fast._predictor)
    for threshold in (0.5, 0.2):
        wanted = list(plain.predict(PHOTOS, threshold=threshold))
        found = list(fast.predict(PHOTOS, threshold=threshold, batch_size=2))
        assert len(wanted) == len(found) == len(PHOTOS)
        assert all(result["boxes"] for result in wanted)
        for expected, result in zip(wanted, found, strict=True):
            assert isinstance(result, type(expected))
            assert_same_answer(expected, result, threshold)


def test_a_zoo_model_gives_the_same_answers(
    paddlex: ModuleType, zoo_model: Callable[[str], Path], photos_dir: Path
) -> None:
    folder = str(zoo_model("Mask-RT-DETR-S"))
    photo = str(min(photos_dir.glob("*.jpg"), key=lambda path: path.stat().st_size))
    plain = paddlex.create_model("Mask-RT-DETR-S", model_dir=folder, device="cpu")
    fast = paddlex.create_model("Mask-RT-DETR-S", model_dir=folder, device="cpu", use_hpip=True)
    (expected,) = plain.predict(photo, threshold=0.5)
    (found,) = fast.predict(photo, threshold=0.5)
    assert found["boxes"]
    assert_same_answer(expected, found, 0.5)


@pytest.mark.parametrize("source", ["file", "config", "argument"])
def test_the_tutorial_pipeline_runs_on_hpip(
    paddlex: ModuleType, source: str, tmp_path: Path
) -> None:
    config = pipeline_config("hpip-demo", DEMO)
    plain = paddlex.create_pipeline(config=pipeline_config("hpip-demo", DEMO), device="cpu")
    if source == "file":
        config = {**config, "use_hpip": True, "hpi_config": {"auto_config": True}}
        (tmp_path / "my_pipeline.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        pipeline = paddlex.create_pipeline(str(tmp_path / "my_pipeline.yaml"), device="cpu")
    elif source == "config":
        config["SubModules"]["InstanceSegmentation"]["use_hpip"] = True
        pipeline = paddlex.create_pipeline(config=config, device="cpu")
    else:
        pipeline = paddlex.create_pipeline(
            config=config, device="cpu", use_hpip=True, hpi_config={"backend": "paddle"}
        )
    assert runs_on_hpip(pipeline.instance_segmentation_model)
    assert not runs_on_hpip(plain.instance_segmentation_model)
    (expected,), (found,) = plain.predict(PHOTOS[1]), pipeline.predict(PHOTOS[1])
    assert_same_answer(expected, found, 0.5)


def test_results_print_save_and_draw_as_paddlex_does(
    paddlex: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved = []
    for name, options in (("plain", {}), ("fast", {"use_hpip": True})):
        (result,) = demo_model(paddlex, **options).predict(PHOTOS[1])
        result.print()
        result.save_to_img(str(tmp_path / name))
        result.save_to_json(str(tmp_path / name))
        (picture,) = (tmp_path / name).glob("*.jpg")
        (record,) = (tmp_path / name).glob("*.json")
        saved.append((picture, record, np.asarray(result.img["res"])))
    (plain_picture, plain_record, plain_drawing), (picture, record, drawing) = saved
    assert (picture.name, record.name) == (plain_picture.name, plain_record.name)
    # A pixel of a mask may fall to either side of the threshold.
    assert np.mean(drawing != plain_drawing) < 1e-3
    assert np.asarray(Image.open(picture)).shape == np.asarray(Image.open(plain_picture)).shape
    content, plain_content = (json.loads(path.read_text()) for path in (record, plain_record))
    assert content.keys() == plain_content.keys()
    for box, plain_box in zip(content["boxes"], plain_content["boxes"], strict=True):
        assert {key: type(value) for key, value in box.items()} == {
            key: type(value) for key, value in plain_box.items()
        }
    # PaddleX prints through its logger.
    assert caplog.text.count("'masks': '...'") == 2


def test_arrays_and_directories_are_taken_as_paddlex_takes_them(
    paddlex: ModuleType, tmp_path: Path
) -> None:
    for seed in range(3):
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 50, 3), np.uint8)).save(
            tmp_path / f"{seed}.png"
        )
    grey = np.full((30, 40), 128, np.uint8)
    model = demo_model(paddlex, use_hpip=True)
    by_folder = list(model.predict(str(tmp_path), batch_size=2))
    assert [Path(result["input_path"]).name for result in by_folder] == ["0.png", "1.png", "2.png"]
    (by_array,) = model.predict(np.zeros((20, 30, 3), np.uint8))
    assert (by_array["input_path"], by_array["boxes"], by_array["masks"]) == (None, [], [])
    assert by_array["input_img"].shape == (20, 30, 3)
    with pytest.raises(InvalidInputError, match="float64"):
        list(model.predict(np.zeros((20, 30, 3))))
    (from_grey,) = model.predict(grey)
    assert from_grey["input_img"].shape == (30, 40, 3)


def test_a_model_without_boxes_keeps_paddlex_fields_and_gains_coordinates(
    paddlex: ModuleType, boxless_model_dir: Path
) -> None:
    picture = rectangles(64, 128, red=(8, 8, 40, 32), blue=(60, 20, 100, 60))
    models = [
        paddlex.create_model("SOLOv2", model_dir=str(boxless_model_dir), device="cpu", **options)
        for options in ({}, {"use_hpip": True})
    ]
    (expected,), (found,) = (model.predict(picture, threshold=0.3) for model in models)
    # PaddleX also returns masks without a pixel, which its own drawing fails on.
    seen = [i for i, mask in enumerate(expected["masks"]) if np.any(mask)]
    expected["boxes"] = [expected["boxes"][i] for i in seen]
    expected["masks"] = [expected["masks"][i] for i in seen]
    assert len(seen) == 2
    assert_same_answer(expected, found, 0.3)
    for mask, box in zip(found["masks"], found["boxes"], strict=True):
        assert mask.shape == (64, 128)
        assert box["cls_id"] == box["class_id"]
        rows, columns = np.nonzero(mask)
        bounds = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert box["coordinate"] == bounds
    np.testing.assert_array_equal(expected.img["res"], found.img["res"])


def test_the_engine_can_be_named(paddlex: ModuleType, has_engines: bool) -> None:
    model = demo_model(paddlex, engine="hpip")
    assert runs_on_hpip(model._predictor)
    if not has_engines:
        return
    configured = demo_model(
        paddlex, engine="hpip", engine_config={"hpip": {"backend_config": {"cpu_threads": 1}}}
    )
    assert configured._predictor.runner.predictor.threads == 1
    pipeline = paddlex.create_pipeline(
        config=pipeline_config("hpip-demo", DEMO),
        device="cpu",
        engine="hpip",
        hpi_config={"backend_config": {"cpu_threads": 1}},
    )
    assert pipeline.instance_segmentation_model.runner.predictor.threads == 1


def test_a_backend_that_is_not_here_is_an_error_not_another_backend(paddlex: ModuleType) -> None:
    with pytest.raises((BackendUnavailableError, InvalidInputError), match="om"):
        demo_model(paddlex, use_hpip=True, hpi_config={"backend": "om"})


def test_a_model_that_hpip_does_not_know_runs_as_without_use_hpip(
    paddlex: ModuleType, tmp_path: Path, named_copy: Callable[[Path, str], Path]
) -> None:
    folder = named_copy(DEMO, "PP-YOLOE_seg-S")
    config = folder / "inference.yml"
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    content["Preprocess"].insert(1, {"type": "Pad", "size": [320, 320]})
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    models = [
        paddlex.create_model("PP-YOLOE_seg-S", model_dir=str(folder), device="cpu", **options)
        for options in ({}, {"use_hpip": True})
    ]
    (expected,), (found,) = (model.predict(PHOTOS[1]) for model in models)
    assert_same_answer(expected, found, 0.5)
    with pytest.raises(ValueError, match="Pad"):
        paddlex.create_model(
            "PP-YOLOE_seg-S",
            model_dir=str(folder),
            device="cpu",
            use_hpip=True,
            hpi_config={"backend": "paddle"},
        )
