# SPDX-License-Identifier: Apache-2.0
"""int8 from the user's images to the chosen engine, with toy engines and real ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import hpip
from hpip.backends import onnxruntime_int8
from hpip.backends.registry import backend_named
from hpip.cli.app import app
from hpip.common.cache import Cache
from hpip.common.devices import Device
from hpip.errors import BackendError, InvalidInputError
from hpip.graph.compile import compile_model
from hpip.inference.execution.plan import OriginalPlan, TruncatedPlan
from hpip.inference.execution.program_formats import int8_artifact
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.budget import Limits
from hpip.inference.tuning.calibrate import Calibration, calibrate
from hpip.inference.tuning.candidates import EngineOptions
from hpip.inference.tuning.choose import Choice, choose
from hpip.inference.tuning.images import read_images, scene, split_for_calibration
from hpip.inference.tuning.tune import tune
from hpip.model.official import demo_images
from hpip.model.spec import load_model_spec
from hpip.types import ModelFiles, ResizeStep, UInt8Array
from tests.graph.programs import two_branch_net
from tests.inference.tuning.conftest import Register, request_for
from tests.pictures import rectangles

CPU = Device("cpu")
DEMO = Path(hpip.__file__).parent / "demo"
PICTURES = [rectangles(128, 128, red=(16, 8, 64, 40 + 8 * index)) for index in range(6)]


@pytest.fixture(autouse=True)
def _time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPIP_TUNE_BUDGET_S", "300")


def tuned(model_dir: Path, pictures: Sequence[UInt8Array] = PICTURES, **options: object):
    request = request_for(model_dir, precision="int8", **options)
    return tune(request, limits=Limits(300), images=pictures).verdict


def chosen(model_dir: Path, threads: int = 1, backend: str | None = None) -> Choice:
    options = EngineOptions(backend=backend, precision="int8")
    spec = load_model_spec(model_dir)
    return choose(spec, CPU, use_hpip=True, threads=threads, options=options)


@given(st.integers(4, 40))
def test_pictures_that_calibrate_are_not_compared_on(count: int) -> None:
    pictures = [np.full((1, 1, 3), index, np.uint8) for index in range(count)]
    for_ranges, held_out = (
        [int(picture[0, 0, 0]) for picture in part] for part in split_for_calibration(pictures)
    )
    assert sorted(for_ranges + held_out) == list(range(count))
    assert len(for_ranges) >= len(held_out) >= 2


def test_too_few_pictures_are_an_error_before_anything_is_done(tiny_model_dir: Path) -> None:
    with pytest.raises(
        InvalidInputError, match=r"at least 4 readable images.*received 3\. Provide more"
    ):
        tuned(tiny_model_dir, PICTURES[:3])
    assert not Cache().entries()


def test_pictures_that_cannot_be_read_do_not_count(tiny_model_dir: Path, tmp_path: Path) -> None:
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), PICTURES[index])
    (tmp_path / "3.png").write_bytes(b"no picture")
    arguments = ["tune", tiny_model_dir, "--precision", "int8", "--input", tmp_path]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert "at least 4 readable images" in str(result.exception)


def test_what_the_pictures_passed_serves_every_later_request(
    only: Register, tiny_model_dir: Path
) -> None:
    only("quantizing")
    verdict = tuned(tiny_model_dir)
    assert verdict.selection.engine.precision == "int8"
    assert verdict.selection.reason.startswith("results within the tolerances of int8")
    assert chosen(tiny_model_dir).engine == verdict.selection.engine
    named = chosen(tiny_model_dir, backend="quantizing").engine
    assert named.precision == "int8"
    assert named.calibration == verdict.selection.engine.calibration
    with hpip.create_pipeline(
        model_dir=tiny_model_dir, device="cpu", threads=1, precision="int8"
    ) as pipeline:
        (result,) = pipeline.predict(PICTURES[0])
        assert result.boxes_xyxy.tolist() == [[16, 8, 64, 40]]
        assert "quantizing int8, 1 thread" in pipeline.explain()


def test_without_pictures_fp32_serves_and_a_named_engine_says_what_to_do(
    only: Register, tiny_model_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    only("quantizing")
    found = chosen(tiny_model_dir)
    assert found.engine.precision == "fp32"
    (reason,) = [r for name, r in found.verdict.selection.rejected if "int8" in name]
    assert reason.startswith("not calibrated: int8 needs images")
    assert "hpip tune MODEL_DIR --precision int8 --input IMAGES" in caplog.text
    with pytest.raises(BackendError, match="int8 needs images for calibration; run `hpip tune"):
        chosen(tiny_model_dir, backend="quantizing")
    # Neither of these two verdicts outlives the pictures.
    tuned(tiny_model_dir, backend="quantizing")
    assert chosen(tiny_model_dir, backend="quantizing").engine.precision == "int8"
    assert chosen(tiny_model_dir).verdict.trials[0].state == "verified"


def test_what_misses_its_gate_is_not_used_and_says_why(
    only: Register, tiny_model_dir: Path
) -> None:
    only("clumsy")
    verdict = tuned(tiny_model_dir)
    assert verdict.selection.engine.precision == "fp32"
    rejected = dict(verdict.selection.rejected)["clumsy int8, 1 thread"]
    assert rejected.startswith("its results differ from plain Paddle's: prediction 1 of 2")
    assert "mean mask IoU" in rejected
    assert "expected at least 0.95" in rejected
    with pytest.raises(
        BackendError, match=r"clumsy int8, 1 thread: its results differ.*mean mask IoU"
    ):
        chosen(tiny_model_dir, backend="clumsy")
    # Another number of threads is another request, which was not tuned with pictures.
    assert chosen(tiny_model_dir, threads=2).verdict.trials[0].state == "wrong"


def test_a_quantiser_that_crashes_costs_its_own_process_only(
    only: Register, tiny_model_dir: Path
) -> None:
    only("bursting")
    verdict = tuned(tiny_model_dir)
    assert [trial.state for trial in verdict.trials] == ["crashed", "verified"]
    assert "SIGABRT" in verdict.trials[0].reason


def test_other_pictures_and_another_size_are_another_calibration(tiny_model_dir: Path) -> None:
    preprocess = load_model_spec(tiny_model_dir).preprocess
    key = Calibration(PICTURES, preprocess).key
    assert Calibration([picture.copy() for picture in PICTURES], preprocess).key == key
    assert Calibration(PICTURES[:-1], preprocess).key != key
    smaller = tuple(
        replace(step, target_hw=(32, 32)) if isinstance(step, ResizeStep) else step
        for step in preprocess.steps
    )
    assert Calibration(PICTURES, replace(preprocess, steps=smaller)).key != key


def test_each_segment_is_quantised_once_on_every_picture(
    only: Register, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("quantizing")
    plan = OriginalPlan(load_model_spec(tiny_model_dir))
    (first,) = plan.steps
    program = tmp_path / "second.json"
    program.write_text(first.files.program.read_text() + "\n")
    files = ModelFiles(program, first.files.params)
    plan.steps = (first, replace(first, name="second", files=files))
    calibration = Calibration(PICTURES, load_model_spec(tiny_model_dir).preprocess)
    backend = type(backend_named("quantizing"))
    seen = []

    def quantize(self, files: ModelFiles, feeds) -> bytes:
        seen.append(list(feeds))
        return b"int8"

    monkeypatch.setattr(backend, "quantize", quantize)
    engine = Engine("quantizing", CPU, 1, "int8")
    assert calibrate(plan, engine, calibration) == {}
    assert [len(feeds) for feeds in seen] == [len(PICTURES)] * 2
    assert calibrate(plan, engine, calibration) == {}
    assert len(seen) == 2


@pytest.fixture
def small(tmp_path: Path) -> ModelFiles:
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    folder = two_branch_net(tmp_path)
    return ModelFiles(folder / "inference.json", folder / "inference.pdiparams")


def test_a_program_is_quantised_once_for_equal_content_only(
    small: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backend_named("onnxruntime")
    feeds = [{"image": np.ones((1, 3, 8, 8), np.float32)}]

    def made(calibration: str = "a") -> bool:
        asked = []

        def given():
            asked.append(True)
            yield from feeds

        files = int8_artifact(small, backend, CPU, calibration, feeds=given())
        assert b"QuantizeLinear" in files.program.read_bytes()
        assert int8_artifact(small, backend, CPU, calibration) == files
        return bool(asked)

    assert made()
    assert not made()
    assert made("b")
    with monkeypatch.context() as patch:
        patch.setattr(onnxruntime_int8, "_RECIPE_VERSION", 99)
        assert made()
    content = bytearray(small.params.read_bytes())
    content[-16:] = np.full(4, 0.5, np.float32).tobytes()
    small.params.write_bytes(content)
    assert made()
    with pytest.raises(BackendError, match=r"the cache has no int8 version.*hpip tune"):
        int8_artifact(small, backend, CPU, "c")


@pytest.mark.slow
def test_the_demo_model_passes_the_gate_in_int8_on_real_engines() -> None:
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    pictures = [*read_images(demo_images()), scene(300, 400), scene(400, 300, 21)]
    verdict = tuned(DEMO, pictures, backend="onnxruntime")
    (trial,) = verdict.trials
    assert trial.state == "verified", trial.reason
    with hpip.create_pipeline(
        model_dir=DEMO,
        device="cpu",
        precision="int8",
        hpi_config={"backend": "onnxruntime", "backend_config": {"cpu_threads": 1}},
    ) as pipeline:
        (mine,) = pipeline.predict(demo_images()[1])
        assert "onnxruntime int8" in pipeline.explain()
    with hpip.create_pipeline(model_dir=DEMO, device="cpu", use_hpip=False) as pipeline:
        (right,) = pipeline.predict(demo_images()[1])
    assert len(mine) == len(right)
    assert 0 < np.abs(np.sort(mine.scores) - np.sort(right.scores)).max() <= 0.05


def test_the_trunk_of_the_demo_model_keeps_its_weights_in_a_quarter_of_the_room() -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    spec = load_model_spec(DEMO)
    plan = TruncatedPlan(compile_model(spec.files))
    calibration = Calibration(read_images(demo_images())[:2], spec.preprocess)
    engine = Engine("onnxruntime", CPU, 1, "int8", calibration=calibration.key)
    assert calibrate(plan, engine, calibration) == {}
    backend = backend_named("onnxruntime")
    made = int8_artifact(plan.steps[0].files, backend, CPU, calibration.key)
    assert made.program.stat().st_size < 0.35 * spec.files.params.stat().st_size
    assert json.loads((made.program.parent / "index.json").read_text())["record"]["title"]
