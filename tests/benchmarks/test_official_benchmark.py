# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.official`, with the demo model served as an official one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rich", reason="the benchmark's extra is not installed")
pytest.importorskip("pycocotools", reason="mask AP needs pycocotools")

import hpip
from benchmarks.official import steps
from benchmarks.official.__main__ import coco_files, main
from benchmarks.official.checks import check_model
from benchmarks.official.published import OFFICIAL, official_name
from benchmarks.official.report import markdown
from hpip.errors import DatasetError, InvalidInputError
from hpip.evaluation import evaluate
from hpip.graph.program import Program
from hpip.model.official import demo_images, official_models
from hpip.model.spec import load_model_spec
from tests.coco_files import SIDE, CocoFolder
from tests.pictures import rectangles

ROOT = Path(__file__).resolve().parents[2]
DEMO = Path(hpip.__file__).parent / "demo"
FILES = ("inference.yml", "inference.json", "inference.pdiparams")
NAME = "PP-YOLOE_seg-S"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Keep the tests' stderr clean."""


@pytest.fixture
def official_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The demo model under an official name, as the official archives lie and are laid out."""
    folder = tmp_path / "served" / official_models().version
    folder.mkdir(parents=True)
    with tarfile.open(folder / f"{NAME}_infer.tar", "w") as tar:
        for name in FILES:
            tar.add(DEMO / name, f"{NAME}_infer/{name}")
    handler = partial(_Quiet, directory=str(folder.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HPIP_MODEL_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("PADDLE_PDX_CACHE_HOME", str(tmp_path / "downloads"))
    yield
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def demo_coco(tmp_path: Path) -> Path:
    """COCO's layout: two images, annotated with the results of the demo model's original graph."""
    folder = tmp_path / "coco"
    (folder / "val2017").mkdir(parents=True)
    (folder / "annotations").mkdir()
    paths = demo_images()[:2]
    images, annotations = [], []
    with hpip.create_pipeline(model="demo", use_hpip=False) as pipeline:
        labels = pipeline.predictors[0].spec.labels
        for image_id, result in enumerate(pipeline.predict(paths, 0.5), start=1):
            path = Path(paths[image_id - 1])
            shutil.copy(path, folder / "val2017")
            height, width = result.image_hw
            images.append(
                {"id": image_id, "file_name": path.name, "height": height, "width": width}
            )
            annotations += result.to_coco(image_id)
    content = {
        "images": images,
        "annotations": [{**one, "id": i, "iscrowd": 0} for i, one in enumerate(annotations)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(labels)],
    }
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def coco(tmp_path: Path) -> CocoFolder:
    """Four images for the tiny model: a match, a shifted instance, a missed one, none."""
    coco = CocoFolder(tmp_path / "rectangles")
    for shift in (0, 6):
        image = coco.picture(rectangles(SIDE, SIDE, red=(16, 16, 48, 48)))
        coco.instance(image, 1, (16 + shift, 16, 48 + shift, 48))
    image = coco.picture(rectangles(SIDE, SIDE, green=(60, 60, 100, 100)))
    coco.instance(image, 3, (60, 60, 100, 100))
    coco.picture(rectangles(SIDE, SIDE))
    return coco


def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.official", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)


def report(output: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((output / "official.json").read_text())
    return content


def records(output: Path) -> dict[str, int]:
    """When each step that is done was done: those are not made again."""
    paths = output.glob("*/*.json")
    done = (path for path in paths if json.loads(path.read_text())["state"] == "done")
    return {str(path): path.stat().st_mtime_ns for path in done}


def differing(found: list[dict[str, Any]]) -> list[str]:
    return [check["what"] for check in found if not check["as_assumed"]]


@pytest.mark.usefixtures("official_server", "fresh_cache")
def test_one_report_of_a_downloaded_model_and_of_those_that_fail(
    demo_coco: Path, tmp_path: Path
) -> None:
    damaged, output = tmp_path / "MaskRCNN-ResNet50", tmp_path / "out"
    shutil.copytree(DEMO, damaged)
    (damaged / "inference.json").write_text('{"base_code": {"magic": "pir"}}')
    arguments = (
        *(damaged, NAME, "SOLOv2", "--coco", demo_coco, "--output", output),
        *("--engines", "onnxruntime", "original", "--tune-budget", 300),
    )
    done = run(*arguments)
    assert done.returncode == 1, done.stderr
    content = report(output)
    broken, model, absent = content["models"]

    assert (broken["model"], broken["state"]) == ("MaskRCNN-ResNet50", "failed")
    assert "damaged" in broken["reason"]
    assert (absent["model"], absent["state"]) == ("SOLOv2", "failed")
    assert "could not be downloaded" in absent["reason"]

    assert (model["model"], model["name"], model["published_mask_ap"]) == (NAME, NAME, 32.5)
    found = model["steps"]
    assert list(found) == ["checks", "gate", "stock", "ap-onnxruntime", "ap-original"]
    wrong = ["Global.model_name", "inputs", "preprocessing", "labels"]
    assert differing(found["checks"]["checks"]) == wrong
    gate = found["gate"]
    assert (gate["state"], gate["program"]) == ("done", "cut")
    tried = {trial["backend"]: trial["state"] for trial in gate["trials"]}
    assert tried["onnxruntime"] == "verified"
    assert set(tried) == {"onnxruntime", "openvino", "paddle_onednn"}
    assert found["stock"]["state"] == "skipped"
    assert "--paddlex-python" in found["stock"]["reason"]
    for step in ("ap-onnxruntime", "ap-original"):
        assert (found[step]["images"], found[step]["failed_images"]) == (2, [])
        assert found[step]["mask_ap"] > 0.99

    text = (output / "official.md").read_text()
    assert text == markdown(content) == done.stdout
    assert "| Global.model_name | PP-YOLOE_seg-S | hpip-demo |" in text
    assert "comparison with PaddleX: skipped: --paddlex-python" in text
    assert "cannot be compared with it" in text
    assert str(tmp_path) not in json.dumps(content["settings"])

    before = records(output)
    assert run(*arguments).returncode == 1
    assert records(output) == before
    assert report(output)["models"] == content["models"]


def test_the_table_names_every_official_model() -> None:
    assert sorted(OFFICIAL) == sorted(official_models().names)


@pytest.mark.parametrize(
    ("folder", "model_name", "name"),
    [
        ("SOLOv2", "my-model", "SOLOv2"),
        ("SOLOv2_infer", "my-model", "SOLOv2"),
        ("best_model", "Mask-RT-DETR-X", "Mask-RT-DETR-X"),
        ("SOLOv2", "Mask-RT-DETR-X", "SOLOv2"),
        ("best_model", "my-model", None),
    ],
)
def test_the_official_name_is_the_folders_or_the_models(
    folder: str, model_name: str, name: str | None
) -> None:
    assert official_name(Path("models") / folder, model_name) == name


@pytest.mark.parametrize("name", ["Mask-RT-DETR-S", "PP-YOLOE_seg-S", "SOLOv2"])
def test_the_official_graphs_look_as_assumed(zoo_model: Callable[[str], Path], name: str) -> None:
    found = check_model(load_model_spec(zoo_model(name)), name)
    assert [check for check in found if not check.as_assumed] == []
    assert {"inputs", "outputs", "preprocessing", "norms", "graph"} <= {one.what for one in found}


def test_another_familys_export_differs_where_it_does(tiny_classes_model_dir: Path) -> None:
    spec = load_model_spec(tiny_classes_model_dir)
    found = {check.what: check for check in check_model(spec, "Mask-RT-DETR-S")}
    assert not found["outputs"].as_assumed
    assert found["outputs"].found.startswith("count: int")
    unnamed = [check.what for check in check_model(spec, None)]
    assert unnamed == ["norms", "graph"]


@pytest.mark.parametrize(
    ("flags", "running"),
    [
        ({"use_global_stats": False, "trainable_statistics": True}, False),
        ({"use_global_stats": False, "is_test": False}, False),
        ({"use_global_stats": False, "trainable_statistics": False, "is_test": True}, True),
        ({"use_global_stats": True, "trainable_statistics": True}, True),
    ],
    ids=["trainable", "not a test", "a test", "global"],
)
def test_a_norm_that_takes_batch_statistics_is_reported(
    tmp_path: Path, flags: dict[str, bool], running: bool
) -> None:
    shutil.copytree(DEMO, tmp_path / "model")
    path = tmp_path / "model" / "inference.json"
    program = Program.read(path)
    norm = next(op for op in program.walk() if op.name.startswith("pd_op.batch_norm"))
    for name, value in flags.items():
        norm.set_attribute(name, {"#": "0.a_bool", "D": value})
    program.write(path)
    found = {check.what: check for check in check_model(load_model_spec(path.parent), NAME)}
    assert found["norms"].as_assumed is running
    assert ("1 with use_global_stats false" in found["norms"].found) is not running


def job(model_dir: Path, coco: CocoFolder, folder: Path, step: str) -> steps.Job:
    return steps.Job(
        step=step,
        model_dir=str(model_dir),
        name=None,
        record=str(folder / "record.json"),
        work=str(folder / "work"),
        photo=demo_images()[0],
        paddlex_python=None,
        annotations=str(coco.write()),
        images_dir=str(coco.images_dir),
        limit=None,
        tune_budget_s=60.0,
    )


@pytest.mark.parametrize("step", ["ap-original", "ap-paddle"])
def test_parts_of_a_dataset_give_the_figures_of_the_whole(
    tiny_model_dir: Path,
    coco: CocoFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    monkeypatch.setattr(steps, "_CHUNK", 1)
    one = job(tiny_model_dir, coco, tmp_path, step)
    found = steps.run(one)
    assert found["state"] == "done", found
    with hpip.create_pipeline(model_dir=tiny_model_dir, use_hpip=False) as pipeline:
        whole = evaluate(pipeline, coco.images_dir, coco.write(), threshold=0.0)
    assert 0 < found["mask_ap"] < 1
    assert found["mask_ap"] == pytest.approx(whole.masks.metrics["AP"], abs=1e-6)
    assert found["box_ap"] == pytest.approx(whole.boxes.metrics["AP"], abs=1e-6)
    assert found["detections"] == len(whole.detections)

    parts = sorted(Path(one.work).iterdir())
    assert len(parts) == 4
    parts[2].unlink()
    kept = {path: path.stat().st_mtime_ns for path in parts if path.exists()}
    assert steps.run(one) == found
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_an_engine_that_fails_the_validation_is_rejected_without_a_failure(
    tiny_model_dir: Path, coco: CocoFolder, tmp_path: Path
) -> None:
    found = steps.run(job(tiny_model_dir, coco, tmp_path, "ap-onnxruntime"))
    assert found["state"] == "rejected"


def test_an_image_that_is_not_there_is_counted(
    tiny_model_dir: Path, coco: CocoFolder, tmp_path: Path
) -> None:
    (coco.images_dir / coco.images[0]["file_name"]).unlink()
    found = steps.run(job(tiny_model_dir, coco, tmp_path, "ap-original"))
    assert found["state"] == "done"
    assert [name for name, _ in found["failed_images"]] == [coco.images[0]["file_name"]]


def test_an_unofficial_model_is_not_compared_with_paddlex(
    tiny_model_dir: Path, coco: CocoFolder, tmp_path: Path
) -> None:
    one = job(tiny_model_dir, coco, tmp_path, "stock")
    found = steps.run(replace(one, paddlex_python=sys.executable))
    assert found["state"] == "skipped"
    assert "official models only" in found["reason"]


@pytest.mark.slow
def test_a_step_whose_process_dies_takes_no_other_down(
    tiny_model_dir: Path, coco: CocoFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fatal = tmp_path / "path" / "pycocotools"
    fatal.mkdir(parents=True)
    (fatal / "__init__.py").write_text("import os; os.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(fatal.parent))
    monkeypatch.chdir(ROOT)
    output = tmp_path / "out"
    arguments = ["--coco", str(coco.write()), "--coco-images", str(coco.images_dir)]
    arguments += ["--engines", "original", "--output", str(output)]
    assert main([str(tiny_model_dir), *arguments]) == 1
    (model,) = report(output)["models"]
    states = {step: found["state"] for step, found in model["steps"].items()}
    assert states == {
        "checks": "done",
        "gate": "done",
        "stock": "skipped",
        "ap-original": "failed",
    }
    assert "signal SIGABRT" in model["steps"]["ap-original"]["reason"]

    monkeypatch.delenv("PYTHONPATH")
    done = records(output)
    assert main([str(tiny_model_dir), *arguments]) == 0
    assert report(output)["models"][0]["steps"]["ap-original"]["state"] == "done"
    assert done.items() <= records(output).items()


@pytest.mark.slow
def test_an_interrupted_run_goes_on(tiny_model_dir: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = [sys.executable, "-m", "benchmarks.official", str(tiny_model_dir), "--output", output]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while not list(output.glob("*/checks-*.json")) and process.poll() is None:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGTERM)
        _, said = process.communicate()
    assert process.returncode == 130, said
    assert "run the command again to continue" in said
    done = records(output)
    assert any("checks-" in path for path in done)
    assert run(tiny_model_dir, "--output", output).returncode == 0
    assert done.items() <= records(output).items()
    (model,) = report(output)["models"]
    assert model["steps"]["gate"]["state"] == "done"
    assert "`--coco` was not given" in (output / "official.md").read_text()


def test_the_dataset_is_a_folder_or_a_file_and_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "coco"
    file, images = folder / "annotations" / "instances_val2017.json", folder / "val2017"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    with pytest.raises(DatasetError, match="--coco-images: expected the directory"):
        coco_files(folder, None)
    images.mkdir()
    assert coco_files(folder, None) == (file, images)
    assert coco_files(file, images) == (file, images)
    assert coco_files(folder, tmp_path) == (file, tmp_path)
    with pytest.raises(DatasetError, match="--coco-images: expected the directory"):
        coco_files(file, None)
    with pytest.raises(DatasetError, match="does not exist"):
        coco_files(tmp_path, None)


def test_wrong_arguments_raise_before_anything_runs(
    tiny_model_dir: Path, coco: CocoFolder, tmp_path: Path
) -> None:
    other = tmp_path / tiny_model_dir.name
    common = ["--output", str(tmp_path / "out")]
    with pytest.raises(InvalidInputError, match="different names"):
        main([str(tiny_model_dir), str(other), *common])
    with pytest.raises(InvalidInputError, match="paddlex_python: expected a Python"):
        main([str(tiny_model_dir), "--paddlex-python", str(tmp_path / "none"), *common])
    with pytest.raises(InvalidInputError, match="images"):
        main([str(tiny_model_dir), "--photo", str(tmp_path / "none.jpg"), *common])
    assert not (tmp_path / "out").exists()
