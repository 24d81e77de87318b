# SPDX-License-Identifier: Apache-2.0
"""Bundles on one engine each, in environments in which Paddle and onnx can't be imported."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpip import create_predictor, export_model
from hpip.results.comparison import compare
from hpip.types import RleMask
from tests.bundles import DEMO, demo_parts, with_part, write_demo_bundle
from tests.paddle_free import make_environment, run
from tests.serving.live_server import LiveServer

ENGINES = ("onnxruntime", "openvino")
COINS = DEMO / "coins.png"
PREDICT = """
import json, sys
from hpip import create_pipeline
with create_pipeline(model_dir=sys.argv[1]) as pipeline:
    engine = pipeline.predictors[0].engine.backend
    results = [
        {"scores": r.scores.tolist(), "boxes": r.boxes_xyxy.tolist(),
         "class_ids": r.class_ids.tolist(),
         "masks": [[m.counts.decode(), m.crop_hw, m.offset_yx] for m in r.rle]}
        for r in pipeline.predict(sys.argv[2:], threshold=0.3)
    ]
assert not {"paddle", "onnx"} & set(sys.modules)
print(json.dumps([engine, results]))
"""


@pytest.fixture(scope="module", params=ENGINES)
def environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("environment") / "venv"
    return request.param, make_environment(folder, request.param)


class _Found:
    """What a process in another environment printed, as far as `compare` reads it."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.scores = np.array(record["scores"], np.float32)
        self.boxes_xyxy = np.array(record["boxes"], np.float32).reshape(-1, 4)
        self.class_ids = np.array(record["class_ids"], np.int64)
        self.rle = [
            RleMask(counts.encode(), tuple(crop), tuple(offset))
            for counts, crop, offset in record["masks"]
        ]


def _same_as_paddle(python: Path, engine: str, bundle: Path, model_dir: Path, cwd: Path) -> None:
    images = [str(COINS), str(DEMO / "scene_0015.jpg")]
    done = run(python, "-c", PREDICT, str(bundle), *images, cwd=cwd)
    assert done.returncode == 0, done.stderr
    ran, results = json.loads(done.stdout.splitlines()[-1])
    assert ran == engine
    with create_predictor(model_dir=model_dir, use_hpip=False) as reference:
        for expected, record in zip(reference.predict(images, 0.3), results, strict=True):
            assert not compare(expected, _Found(record), 0.3).violations()


@pytest.mark.parametrize("module", ["paddle", "onnx"])
def test_the_environment_has_none(
    environment: tuple[str, Path], module: str, tmp_path: Path
) -> None:
    done = run(environment[1], "-c", f"import hpip, {module}", cwd=tmp_path)
    assert f"No module named '{module}'" in done.stderr


def test_the_demo_runs_from_the_command_line(environment: tuple[str, Path], tmp_path: Path) -> None:
    engine, python = environment
    done = run(
        python, "-m", "hpip", "predict", "--model", "demo", "--save_path", "out", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "4 images, 44 instances" in done.stdout + done.stderr
    assert len(list((tmp_path / "out").glob("*_res.json"))) == 4
    explained = run(python, "-m", "hpip", "explain", "demo", cwd=tmp_path)
    chosen = next(line for line in explained.stdout.splitlines() if "chosen" in line)
    assert chosen.startswith(engine)
    assert "verified" in chosen


def test_the_answers_are_plain_paddles(environment: tuple[str, Path], tmp_path: Path) -> None:
    engine, python = environment
    bundle = write_demo_bundle(tmp_path / "demo.hpip")
    _same_as_paddle(python, engine, bundle, DEMO, tmp_path)


def test_the_server_serves_a_bundle(environment: tuple[str, Path], tmp_path: Path) -> None:
    _, python = environment
    bundle = write_demo_bundle(tmp_path / "demo.hpip")
    server = LiveServer("--model_dir", str(bundle), python=python)
    try:
        server.wait_until_ready()
        image = base64.b64encode(COINS.read_bytes()).decode()
        with server.client() as client:
            answer = client.post("/instance-segmentation", json={"image": image}).json()
        assert len(answer["result"]["instances"]) == 24
    finally:
        server.stop()


def test_what_needs_the_original_graph_names_the_source(
    environment: tuple[str, Path], tmp_path: Path
) -> None:
    bundle = str(write_demo_bundle(tmp_path / "demo.hpip"))
    for arguments in (
        ("predict", "--model_dir", bundle, "--input", str(COINS), "--no-hpip"),
        ("compile", bundle),
        ("export", bundle, str(tmp_path / "again.hpip")),
    ):
        done = run(environment[1], "-m", "hpip", *arguments, cwd=tmp_path)
        assert done.returncode != 0
        assert "exported from: demo" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("predict", "--model_dir"), ("explain",), ("tune",)])
def test_a_model_directory_needs_paddle(
    environment: tuple[str, Path], tiny_model_dir: Path, command: tuple[str, ...], tmp_path: Path
) -> None:
    more = ("--input", str(COINS)) if command[0] == "predict" else ()
    done = run(environment[1], "-m", "hpip", *command, str(tiny_model_dir), *more, cwd=tmp_path)
    assert done.returncode == 1
    (error,) = done.stderr.strip().splitlines()
    assert "pip install 'hpip[cpu]'" in error
    assert "hpip export" in error


def test_the_original_graph_of_the_demo_needs_paddle(
    environment: tuple[str, Path], tmp_path: Path
) -> None:
    done = run(
        environment[1], "-m", "hpip", "predict", "--model", "demo", "--no-hpip", cwd=tmp_path
    )
    assert done.returncode == 1
    assert "pip install 'hpip[cpu]'" in done.stderr


def test_without_any_engine_the_error_says_what_to_install(tmp_path: Path) -> None:
    python = make_environment(tmp_path / "venv")
    done = run(python, "-m", "hpip", "predict", "--model", "demo", cwd=tmp_path)
    assert done.returncode != 0
    assert "pip install 'hpip[onnxruntime]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_engine_with_other_answers_is_refused_with_the_figures(
    environment: tuple[str, Path], tmp_path: Path
) -> None:
    """A bundle whose graph and references don't belong together, as on a broken machine."""
    references = json.loads(demo_parts()["references.json"])
    for result in references["results"]:
        result["scores"] = [score - 0.01 for score in result["scores"]]
    parts = with_part("references.json", json.dumps(references).encode())
    bundle = write_demo_bundle(tmp_path / "other.hpip", parts)
    done = run(
        environment[1],
        "-m",
        "hpip",
        "predict",
        "--model_dir",
        str(bundle),
        "--input",
        str(COINS),
        cwd=tmp_path,
    )
    assert done.returncode != 0
    assert "score" in done.stderr
    assert "no engine runs the bundle" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "Mask-RT-DETR-S",
        "PP-YOLOE_seg-S",
        "SOLOv2",
        "MaskRCNN-ResNet50-FPN",
        "Cascade-MaskRCNN-ResNet50-FPN",
    ],
)
def test_a_bundle_of_each_family_has_plain_paddles_answers(
    name: str,
    zoo_model: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    model_dir = zoo_model(name)
    report = export_model(model_dir, tmp_path / f"{name}.hpip")
    assert report.size_bytes <= 1.02 * report.weights_bytes + 1e6
    assert report.verdict is not None
    valid = {t.engine.backend for t in report.verdict.trials if t.state == "verified"}
    assert valid
    for engine in valid:
        python = make_environment(tmp_path / engine, engine)
        _same_as_paddle(python, engine, report.path, model_dir, tmp_path)
