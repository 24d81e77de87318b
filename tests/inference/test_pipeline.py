# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import hpip
from hpip.errors import (
    BackendError,
    BackendUnavailableError,
    FailedInputsError,
    InvalidInputError,
    ModelFormatError,
)
from tests.pictures import rectangles

# Sides are multiples of the tiny model's 64, so that nearest resizing is exact.
RED, BLUE = (16, 8, 64, 40), (64, 64, 120, 100)
PICTURE = rectangles(128, 128, red=RED, blue=BLUE)


@pytest.fixture(scope="module")
def pipeline(tiny_model_dir: Path) -> Iterator[hpip.InstanceSegPipeline]:
    with hpip.create_pipeline(model_dir=tiny_model_dir, device="cpu") as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index, name in enumerate(["a.png", "b.png", "c.png"]):
        picture = rectangles(128, 128, green=(8 * index, 0, 8 * index + 32, 64))
        cv2.imwrite(str(tmp_path / name), picture)
    return tmp_path


def _labels(results: Iterator[hpip.InstanceSegResult]) -> list[list[str]]:
    return [list(result.labels) for result in results]


def test_a_picture_gives_its_rectangles(pipeline: hpip.InstanceSegPipeline) -> None:
    (result,) = pipeline.predict(PICTURE)
    assert list(result.labels) == ["red", "blue"]
    assert result.boxes_xyxy.tolist() == [list(RED), list(BLUE)]
    assert [box["cls_id"] for box in result["boxes"]] == [0, 2]
    assert result["boxes"][0]["score"] == pytest.approx(230 / 255, abs=1e-5)
    assert [mask.shape for mask in result["masks"]] == [(32, 48), (36, 56)]
    assert all(mask.all() for mask in result["masks"])


def test_predict_is_a_generator_and_checks_its_arguments_at_once(
    pipeline: hpip.InstanceSegPipeline,
) -> None:
    assert isinstance(pipeline.predict(PICTURE), types.GeneratorType)
    with pytest.raises(InvalidInputError, match="threshold"):
        pipeline.predict(PICTURE, threshold=2)
    with pytest.raises(InvalidInputError, match="classes"):
        pipeline.predict(PICTURE, classes="violet")


def test_threshold_classes_and_max_detections(pipeline: hpip.InstanceSegPipeline) -> None:
    assert _labels(pipeline.predict(PICTURE, threshold=0.95)) == [[]]
    assert _labels(pipeline.predict(PICTURE, classes=["blue"])) == [["blue"]]
    assert _labels(pipeline.predict(PICTURE, max_detections=1)) == [["red"]]


def test_pictures_of_other_sizes_and_batches_give_the_same(tiny_model_dir: Path) -> None:
    pictures = [PICTURE, rectangles(256, 64, green=(0, 0, 64, 128)), PICTURE[::-1], PICTURE]
    with hpip.create_predictor(model_dir=tiny_model_dir, device="cpu") as one:
        alone = [next(one.predict(picture)) for picture in pictures]
    with hpip.create_predictor(model_dir=tiny_model_dir, device="cpu", batch_size=3) as many:
        together = list(many.predict(pictures))
    for left, right in zip(alone, together, strict=True):
        assert left.boxes_xyxy.tolist() == right.boxes_xyxy.tolist()
        assert list(left.rle) == list(right.rle)


def test_a_ratio_keeping_model_with_padding(tmp_path: Path) -> None:
    from tests.tiny_model import export_tiny_model

    model = export_tiny_model(tmp_path / "m", keep_ratio=True, target_hw=(80, 130))
    pictures = [
        rectangles(160, 200, red=(20, 40, 100, 80)),
        rectangles(200, 160, blue=(0, 0, 160, 200)),
    ]
    with hpip.create_predictor(model_dir=model, device="cpu", batch_size=2) as predictor:
        wide, tall = predictor.predict(pictures)
    assert np.allclose(wide.boxes_xyxy, [[20, 40, 100, 80]], atol=2)
    assert np.allclose(tall.boxes_xyxy, [[0, 0, 160, 200]], atol=2)


def test_a_model_without_boxes(tiny_classes_model_dir: Path) -> None:
    with hpip.create_pipeline(model_dir=tiny_classes_model_dir, device="cpu") as pipeline:
        (result,) = pipeline.predict(PICTURE)
    assert result.boxes_xyxy.tolist() == [list(RED), list(BLUE)]
    first = result["boxes"][0]
    assert (first["cls_id"], first["class_id"], first["label"]) == (0, 0, "red")
    assert first["coordinate"] == list(RED)
    assert result["masks"][0].shape == (128, 128)


def test_a_bad_file_takes_no_other_down(
    pipeline: hpip.InstanceSegPipeline, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "b.png").write_bytes(b"not a picture")
    failures: list[tuple[str, Exception]] = []
    results = list(pipeline.predict(str(folder), on_failure=lambda *f: failures.append(f)))
    assert [Path(result["input_path"]).name for result in results] == ["a.png", "c.png"]
    assert [Path(name).name for name, _ in failures] == ["b.png"]
    assert "b.png" in caplog.text
    mixed = pipeline.predict([PICTURE, np.zeros((2, 2), np.float64), PICTURE, folder / "none.png"])
    assert _labels(mixed) == [["red", "blue"], ["red", "blue"]]


def test_one_bad_input_alone_is_an_error(
    pipeline: hpip.InstanceSegPipeline, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match=r"none\.png"):
        list(pipeline.predict(str(tmp_path / "none.png")))
    with pytest.raises(FailedInputsError, match="none of the 2 inputs") as error:
        list(pipeline.predict([str(tmp_path / "x.png"), str(tmp_path / "y.png")]))
    assert len(error.value.failures) == 2


def test_many_threads_get_their_own_answers(pipeline: hpip.InstanceSegPipeline) -> None:
    pictures = [rectangles(128, 128, red=(8 * i, 0, 8 * i + 16, 64)) for i in range(8)]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(5):
            (result,) = pipeline.predict(pictures[index])
            if result.boxes_xyxy.tolist() != [[8 * index, 0, 8 * index + 16, 64]]:
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_several_predictors_share_the_work_in_order(tiny_model_dir: Path) -> None:
    from hpip.inference.pipeline import InstanceSegPipeline

    predictors = [
        hpip.create_predictor(model_dir=tiny_model_dir, device="cpu", batch_size=2)
        for _ in range(2)
    ]
    pictures: list[object] = [
        rectangles(128, 128, red=(8 * (i % 9), 0, 8 * (i % 9) + 16, 64)) for i in range(25)
    ]
    pictures[7] = "missing.png"
    with InstanceSegPipeline(predictors) as pipeline:
        results = list(pipeline.predict(pictures))
    expected = [8 * (i % 9) for i in range(25) if i != 7]
    assert [result.boxes_xyxy[0, 0] for result in results] == expected


def test_an_abandoned_iteration_ends_cleanly(tiny_model_dir: Path) -> None:
    from hpip.inference.pipeline import InstanceSegPipeline

    predictors = [hpip.create_predictor(model_dir=tiny_model_dir, device="cpu") for _ in range(2)]
    with InstanceSegPipeline(predictors) as pipeline:
        results = pipeline.predict([PICTURE] * 20)
        next(results)
        results.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_can_predict(pipeline: hpip.InstanceSegPipeline) -> None:
    list(pipeline.predict(PICTURE))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            (result,) = pipeline.predict(PICTURE)
            os.write(writer, b"right" if list(result.labels) == ["red", "blue"] else b"wrong")
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    assert os.read(reader, 10) == b"right"
    os.close(reader)
    assert _labels(pipeline.predict(PICTURE)) == [["red", "blue"]]


def test_a_closed_pipeline_says_so(tiny_model_dir: Path) -> None:
    pipeline = hpip.create_pipeline(model_dir=tiny_model_dir, device="cpu")
    pipeline.warm_up()
    pipeline.close()
    pipeline.close()
    with pytest.raises(BackendError, match="closed"):
        list(pipeline.predict(PICTURE))


def test_an_absent_device_is_an_error_that_lists_what_is_there(tiny_model_dir: Path) -> None:
    with pytest.raises(BackendUnavailableError, match=r"npu:7 is not available.* finds cpu"):
        hpip.create_pipeline(model_dir=tiny_model_dir, device="npu:7")


def test_explain_names_model_engine_and_reason(pipeline: hpip.InstanceSegPipeline) -> None:
    text = pipeline.explain()
    assert "tiny-boxes" in text
    assert "plain Paddle" in text


def test_damaged_parameters_are_an_error_of_the_model(tiny_model_dir: Path, tmp_path: Path) -> None:
    for name in ("inference.yml", "inference.json"):
        (tmp_path / name).write_bytes((tiny_model_dir / name).read_bytes())
    (tmp_path / "inference.pdiparams").write_bytes(b"\x00\x01")
    for use_hpip in (True, False):
        with pytest.raises(ModelFormatError, match=r"inference\.pdiparams is truncated"):
            hpip.create_pipeline(model_dir=tmp_path, device="cpu", use_hpip=use_hpip)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_pipeline_that_is_closed_halfway_says_so(tiny_model_dir: Path, workers: int) -> None:
    pipeline = hpip.create_pipeline(model_dir=tiny_model_dir, device="cpu", workers=workers)
    results = pipeline.predict(iter([PICTURE] * 20))
    assert next(results).labels == ["red", "blue"]
    pipeline.close()
    with pytest.raises(BackendError, match="closed"):
        list(results)
    with pytest.raises(BackendError, match="closed"):
        next(pipeline.predict(PICTURE))
