# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from tests.pictures import rectangles


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hpip", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("in/a.png", "in/deep/a.png", "in/b.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rectangles(128, 128, red=(16, 16, 64, 64)))
    return tmp_path / "in"


def test_predict_writes_a_json_and_a_picture_per_image(
    tiny_model_dir: Path, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run(
        "predict", "--model_dir", tiny_model_dir, "--input", folder, "--save_path", out,
        "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    assert names == [
        "a_res.json", "a_res.png", "b_res.jpg", "b_res.json", "deep/a_res.json", "deep/a_res.png",
    ]  # fmt: skip
    content = json.loads((out / "b_res.json").read_text())
    assert content["boxes"][0]["label"] == "red"
    assert cv2.imread(str(out / "a_res.png")).shape == (128, 128, 3)
    assert "1 red" in done.stdout
    assert "3 images, 3 instances" in done.stderr


def test_failed_inputs_are_named_and_the_others_come_out(
    tiny_model_dir: Path, folder: Path, tmp_path: Path
) -> None:
    (folder / "broken.png").write_bytes(b"")
    out = tmp_path / "out"
    done = run("predict", "--model_dir", tiny_model_dir, "--input", folder, "--save_path", out)
    assert done.returncode == 1
    assert done.stderr.count("broken.png") == 1
    assert "Traceback" not in done.stderr
    assert len(list(out.rglob("*.json"))) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "--input", "x.png"], "--model_dir"),
        (["predict", "--model_dir", "/none", "--input", "x.png"], "/none"),
        (["--pipeline", "OCR", "--input", "x.png"], "OCR"),
        (["--get_pipeline_config", "OCR"], "OCR"),
        (["predict", "--model_dir", "/none"], "--input"),
        (["predict", "--model", "demo", "--input", "x", "--hpi_config", "{oops"], "--hpi_config"),
    ],
)
def test_errors_are_one_line_and_exit_code_1(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback() -> None:
    done = run("predict", "--model_dir", "/none", "--input", "x.png", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_an_unknown_flag_is_a_usage_error() -> None:
    assert run("predict", "--sped", "1").returncode == 2


def test_paddlex_flags_print_results_and_save_only_when_asked(
    tiny_model_dir: Path, folder: Path, tmp_path: Path
) -> None:
    config = tmp_path / "my.yaml"
    config.write_text(f'Pipeline: {{model: "{tiny_model_dir}/", device: "gpu", batch_size: 2}}\n')
    done = run("--pipeline", config, "--input", folder / "b.jpg", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "'label': 'red'" in done.stdout
    assert sorted(folder.iterdir()) == sorted([folder / "a.png", folder / "b.jpg", folder / "deep"])
    saved = run(
        "--pipeline", config, "--input", folder / "b.jpg", "--device", "cpu", "--threshold", "0.99",
        "--use_hpip", "--hpi_config", "{'auto_config': True, 'backend': None}",
        "--save_path", tmp_path / "o",
    )  # fmt: skip
    assert saved.returncode == 0, saved.stderr
    assert json.loads((tmp_path / "o" / "b_res.json").read_text())["boxes"] == []


def test_the_pipeline_file_is_given_out(tmp_path: Path) -> None:
    shown = run("--get_pipeline_config", "instance_segmentation")
    assert "SubModules:" in shown.stdout
    done = run("--get_pipeline_config", "instance_segmentation", "--save_path", tmp_path / "new")
    assert done.returncode == 0
    written = tmp_path / "new" / "instance_segmentation.yaml"
    assert written.read_text().strip() == shown.stdout.strip()


def test_help_and_version() -> None:
    import hpip

    assert run("--version").stdout.strip() == hpip.__version__
    assert "predict" in run("--help").stdout
    assert "--save_path" in run("predict", "--help").stdout


def test_help_begins_with_what_to_run_first_and_groups_commands() -> None:
    text = run("--help").stdout
    places = [text.index(words) for words in ("Start here", "hpip doctor", "Run", "predict  ")]
    places += [
        text.index(f"\u2500 {panel} \u2500") for panel in ("Understand", "Prepare", "Measure")
    ]
    assert places == sorted(places)
    assert "--get_pipeline_config" not in text


def test_help_shows_the_flags_of_paddlex_on_request() -> None:
    text = run("--help-paddlex").stdout
    assert "PaddleX's flags" in text
    assert "--get_pipeline_config" in text


@pytest.mark.parametrize(
    ("command", "default"), [("predict", "all CPUs"), ("serve", "8080"), ("tune", "fp32")]
)
def test_help_states_defaults(command: str, default: str) -> None:
    assert default in " ".join(run(command, "--help").stdout.split())
