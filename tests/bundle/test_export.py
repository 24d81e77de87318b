# SPDX-License-Identifier: Apache-2.0
"""Exports of the demo model: what is written, what is refused, and that nothing is left behind."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hpip import create_predictor, export_model
from hpip.backends import openvino
from hpip.backends.base import SessionOptions
from hpip.backends.openvino import OpenVinoBackend, _compile
from hpip.bundle import export
from hpip.bundle.export import ExportReport
from hpip.cli.app import app
from hpip.common.devices import Device
from hpip.errors import BackendError, InvalidInputError, ModelFormatError, SaveError
from hpip.inference.tuning.candidates import TuningRequest
from hpip.inference.tuning.images import digest, read_images, shipped_images
from hpip.model.bundle_archive import MANIFEST_NAME
from hpip.model.bundle_file import read_bundle
from hpip.model.bundle_manifest import parse_manifest
from hpip.types import ModelFiles
from tests.bundles import DEMO, write_demo_bundle

SCENE = DEMO / "scene_0017.jpg"
THROUGHPUT = {"performance_hint": "throughput"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """The demo model with reference results on one more image."""
    folder = tmp_path_factory.mktemp("exported")
    return export_model("demo", folder / "demo.hpip", images=[SCENE])


def test_the_bundle_is_verified_on_every_engine(report: ExportReport) -> None:
    assert report.verdict is not None
    assert {(trial.engine.backend, trial.state) for trial in report.verdict.trials} == {
        ("onnxruntime", "verified"),
        ("openvino", "verified"),
    }
    assert report.size_bytes == report.path.stat().st_size
    assert report.size_bytes <= 1.02 * report.weights_bytes + 1e6


def test_it_has_the_results_of_the_shipped_and_the_given_images(report: ExportReport) -> None:
    results = read_bundle(report.path).references().results
    images = [*shipped_images(), *read_images([SCENE])]
    assert [result.image for result in results] == [digest([image]) for image in images]


def test_nothing_is_left_beside_it(report: ExportReport) -> None:
    assert [path.name for path in report.path.parent.iterdir()] == ["demo.hpip"]


def test_openvinos_compiled_models_are_used_where_they_fit(
    tmp_path: Path, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    included = export_model("demo", tmp_path / "demo.hpip", include=["openvino"])
    assert included.size_bytes > 1.8 * included.weights_bytes
    (segment,) = read_bundle(included.path).compiled.segments
    options = SessionOptions(Device("cpu"), 1, build_dir=tmp_path / "builds")
    compiled: list[ModelFiles] = []

    def compile_model(files: ModelFiles, properties: object) -> object:
        compiled.append(files)
        return _compile(files, properties)  # type: ignore[arg-type]

    monkeypatch.setattr(openvino, "_compile", compile_model)
    OpenVinoBackend().open(segment.files, options).close()
    assert not compiled
    OpenVinoBackend().open(segment.files, replace(options, settings=THROUGHPUT)).close()
    assert compiled == [segment.files]


@pytest.mark.slow
def test_int8_is_a_part_of_the_bundle(tmp_path: Path, fresh_cache: Path) -> None:
    path = tmp_path / "demo.hpip"
    report = export_model("demo", path, images=[DEMO], precision="int8")
    assert report.verdict is not None
    with zipfile.ZipFile(path) as archive:
        assert "int8-trunk.onnx" in archive.namelist()
    with create_predictor(model_dir=path, precision="int8") as predictor:
        (result,) = predictor.predict(SCENE)
        assert predictor.engine.precision in ("int8", "fp32")
    assert len(result.scores) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"include": ["tensorrt"]}, "expected openvino"),
        ({"precision": "fp8"}, "precision"),
        ({"precision": "int8"}, "at least 4 readable images"),
        ({"threads": 0}, "threads"),
        ({"images": ["absent.jpg"]}, "absent.jpg"),
    ],
)
def test_a_bad_argument_is_refused_before_any_work(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        export_model("demo", tmp_path / "demo.hpip", **arguments)
    assert not list(tmp_path.iterdir())


def test_the_same_export_gives_the_same_bytes(report: ExportReport, tmp_path: Path) -> None:
    again = export_model(DEMO, tmp_path, images=[str(SCENE)])
    assert again.path == tmp_path / "demo.hpip"
    assert again.path.read_bytes() == report.path.read_bytes()


def test_the_shipped_demo_bundle_is_what_export_writes_now(report: ExportReport) -> None:
    """Else run tools/demo_bundle.py; results of another processor may differ in the last bits."""
    shipped = parse_manifest((DEMO / MANIFEST_NAME).read_bytes())
    with zipfile.ZipFile(report.path) as archive:
        written = parse_manifest(archive.read(MANIFEST_NAME))
        assert archive.read("trunk.onnx") == (DEMO / "trunk.onnx").read_bytes()
    for name in vars(shipped):
        if name != "digests":
            assert getattr(shipped, name) == getattr(written, name), name
    assert set(shipped.digests) == set(written.digests)


def test_the_given_images_validate_engines_later(
    report: ExportReport, fresh_cache: Path, tmp_path: Path
) -> None:
    runner = CliRunner()
    tuned = runner.invoke(app, ["tune", str(report.path), "--input", str(SCENE), "--budget", "60"])
    assert tuned.exit_code == 0, tuned.output
    other = runner.invoke(app, ["tune", str(report.path), "--input", str(DEMO / "scene_0013.jpg")])
    assert isinstance(other.exception, InvalidInputError)
    assert "hpip export --input" in str(other.exception)


def test_a_bundle_can_be_inspected(report: ExportReport) -> None:
    shown = CliRunner().invoke(app, ["inspect", str(report.path)])
    assert shown.exit_code == 0, shown.output
    for text in ("verified", "demo", "multiclass_nms", "3 images"):
        assert text in shown.output


def test_it_runs_where_paddle_is_installed_too(report: ExportReport) -> None:
    with create_predictor(model_dir=report.path) as predictor:
        (result,) = predictor.predict(SCENE)
    assert len(result.scores) == 7


@pytest.mark.parametrize("output", ["out", "out.zip"])
def test_an_output_of_another_kind_is_refused(tmp_path: Path, output: str) -> None:
    with pytest.raises(InvalidInputError, match=r"ends in \.hpip"):
        export_model("demo", tmp_path / output)


def test_a_bundle_is_not_exported_again(tmp_path: Path) -> None:
    bundle = write_demo_bundle(tmp_path / "demo.hpip")
    with pytest.raises(InvalidInputError, match="hpip export needs the model's original graph"):
        export_model(bundle, tmp_path / "again.hpip")


def test_a_place_that_cannot_be_written_is_a_save_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="can't write"):
        export_model("demo", tmp_path / "file" / "demo.hpip")


def test_a_graph_that_is_not_truncated_cannot_be_exported(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelFormatError, match="can't truncate its graph"):
        export_model(tiny_model_dir, tmp_path / "tiny.hpip")


def _refuse(self: object, request: TuningRequest) -> None:
    raise BackendError("onnxruntime", "verify", "scores differ by 0.1")


def test_what_no_engine_verified_is_written_only_with_a_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export._Exporter, "_verify", _refuse)
    path = tmp_path / "demo.hpip"
    with pytest.raises(BackendError, match=r"scores differ by 0\.1"):
        export_model("demo", path)
    assert not list(tmp_path.iterdir())
    report = export_model("demo", path, unverified=True)
    assert "scores differ" in report.reason
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read(MANIFEST_NAME))["verified"] is False
    shown = CliRunner().invoke(app, ["inspect", str(path)])
    assert "NOT VERIFIED" in shown.output
