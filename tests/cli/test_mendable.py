# SPDX-License-Identifier: Apache-2.0
"""Commands are loud if a model runs slower for a reason that the user can change, else quiet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import yaml
from typer.testing import CliRunner, Result

import hpip
from hpip.cli.app import app
from hpip.common import interpreter
from hpip.inference.tuning import ranking
from tests.graph.heads import coefficient_masks
from tests.inference.tuning.conftest import Register
from tests.inference.tuning.test_choose import SETTINGS
from tests.pictures import rectangles

RUNNER = CliRunner()
DEMO = Path(hpip.__file__).parent / "demo"


@pytest.fixture(autouse=True)
def _enough_time(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPIP_TUNE_BUDGET_S", "300")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), rectangles(128, 128, red=(16, 8, 64, 40)))
    return path


def call(*arguments: object) -> Result:
    return RUNNER.invoke(app, [*map(str, arguments), "--threads", "1"])


def loud_lines(result: Result | subprocess.CompletedProcess[str]) -> list[str]:
    lines = result.stderr.splitlines()
    return [line for line in lines if line.startswith(("warning: ", "problem: "))]


def predict(model_dir: Path, image: Path) -> Result:
    return call("predict", "--model_dir", model_dir, "--input", image, "--device", "cpu")


def test_a_missing_engine_is_named_with_what_to_install(only: Register) -> None:
    only("absent")
    tuned = call("tune", "demo")
    assert tuned.exit_code == 1, tuned.output
    (problem,) = loud_lines(tuned)
    assert "runs on plain Paddle, which is slower" in problem
    assert "absent: the engine is not installed" in problem
    assert problem.endswith("pip install 'hpip[cpu]'")
    predicted = call("predict", "--model", "demo", "--device", "cpu")
    assert predicted.exit_code == 0, predicted.output
    (warning,) = loud_lines(predicted)
    assert warning.removeprefix("warning: ") == problem.removeprefix("problem: ")
    explained = call("explain", "demo")
    assert explained.exit_code == 0
    assert loud_lines(explained) == [warning]


def test_time_that_ran_out_is_named_with_how_to_get_more(
    only: Register, tiny_model_dir: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("fast")
    tuned = call("tune", tiny_model_dir, "--budget", 1e-6)
    assert tuned.exit_code == 1, tuned.output
    (problem,) = loud_lines(tuned)
    monkeypatch.setenv("HPIP_TUNE_BUDGET_S", "0.001")
    predicted = predict(tiny_model_dir, image)
    assert predicted.exit_code == 0, predicted.output
    (warning,) = loud_lines(predicted)
    for line in (problem, warning):
        assert "no engine was validated" in line
        assert f"`hpip tune {tiny_model_dir}`" in line
        assert "--budget" in line


@pytest.mark.parametrize("python", ["/bin/false", "/gone/python3"])
def test_a_child_that_can_not_start_is_told(
    only: Register,
    tiny_model_dir: Path,
    image: Path,
    monkeypatch: pytest.MonkeyPatch,
    python: str,
) -> None:
    only("fast")
    monkeypatch.setattr(interpreter, "find_interpreter", lambda: python)
    tuned, predicted = call("tune", tiny_model_dir), predict(tiny_model_dir, image)
    assert (tuned.exit_code, predicted.exit_code) == (1, 0)
    for result in (tuned, predicted):
        (line,) = loud_lines(result)
        assert "no child process could be started" in line


def test_a_cache_that_can_not_be_written_is_told(
    only: Register,
    tiny_model_dir: Path,
    image: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only("fast")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HPIP_CACHE_DIR", str(tmp_path / "file"))
    folder = coefficient_masks(tmp_path)
    (folder / "inference.yml").write_text(yaml.safe_dump(SETTINGS))
    tuned = call("tune", tiny_model_dir)
    compiled = call("compile", folder, "--no-verify")
    predicted = predict(tiny_model_dir, image)
    assert (tuned.exit_code, compiled.exit_code, predicted.exit_code) == (1, 1, 0)
    for result in (tuned, compiled, predicted):
        (line,) = loud_lines(result)
        assert "can't be written" in line
        assert "HPIP_CACHE_DIR" in line


@pytest.mark.parametrize("name", ["inference.json", "inference.pdiparams", "inference.yml"])
def test_missing_files_are_errors_of_every_command(image: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in DEMO.glob("inference.*"):
        if path.name != name:
            shutil.copyfile(path, folder / path.name)
    for result in (call("tune", folder), call("compile", folder), predict(folder, image)):
        assert result.exit_code == 1
        assert name in str(result.exception)


def test_an_uncut_graph_and_a_slower_engine_are_no_faults(
    only: Register, tiny_model_dir: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph of this model is not one that hpip knows, and no engine is five times as fast."""
    only("good", "wrong", "absent", "refusing")
    monkeypatch.setattr(ranking, "_SAME", 0.2)
    for result in (
        call("tune", tiny_model_dir),
        call("compile", tiny_model_dir),
        predict(tiny_model_dir, image),
    ):
        assert result.exit_code == 0, result.output
        assert loud_lines(result) == []


def test_an_engine_that_fails_at_every_image_is_told_once(
    only: Register, tiny_model_dir: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("later_broken")
    assert call("tune", tiny_model_dir).exit_code == 0
    monkeypatch.setenv("HPIP_TEST_BROKEN", "1")
    shutil.copyfile(image, image.with_name("again.png"))
    predicted = call(
        "predict", "--model_dir", tiny_model_dir, "--device", "cpu",
        "--input", image, "--input", image.with_name("again.png"),
    )  # fmt: skip
    assert predicted.exit_code == 0, predicted.output
    assert predicted.stdout.count("1 red") == 2
    (warning,) = loud_lines(predicted)
    assert "plain Paddle runs this batch, because the engine failed" in warning


def test_the_real_command_ends_with_1_and_one_line(tiny_model_dir: Path, image: Path) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hpip", *map(str, arguments), "--threads", "1"]
        environment = {**os.environ, "HPIP_TUNE_BUDGET_S": "0.001"}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    tuned = run("tune", tiny_model_dir, "--budget", "0.001")
    assert tuned.returncode == 1
    predicted = run("predict", "--model_dir", tiny_model_dir, "--input", image, "--device", "cpu")
    assert predicted.returncode == 0, predicted.stderr
    for done in (tuned, predicted):
        assert len(loud_lines(done)) == 1, done.stderr
        assert "Traceback" not in done.stderr
    assert "1 red" in predicted.stdout


def test_the_server_tells_it_too(tiny_model_dir: Path) -> None:
    command = [sys.executable, "-m", "hpip", "serve", "--model_dir", str(tiny_model_dir)]
    command += ["--port", "0", "--device", "cpu", "--threads", "1"]
    environment = {**os.environ, "HPIP_TUNE_BUDGET_S": "0.001"}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
    ) as server:
        try:
            assert server.stderr is not None
            line = next((line for line in server.stderr if "no engine was validated" in line), "")
        finally:
            server.terminate()
    assert line.startswith("WARNING hpip.inference.tuning.choose: ")
    assert "hpip tune" in line
