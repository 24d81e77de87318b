# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from hpip.cli.app import app
from tests.inference.tuning.conftest import Register
from tests.pictures import rectangles

pytestmark = pytest.mark.usefixtures("fresh_cache")

RUNNER = CliRunner()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, area in (("a", (16, 8, 64, 40)), ("b", (0, 64, 64, 128))):
        cv2.imwrite(str(folder / f"{name}.png"), rectangles(128, 128, red=area))
    return folder


def call(*arguments: object) -> str:
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_tune_prints_every_engine_and_explain_remembers(
    only: Register, tiny_model_dir: Path, pictures: Path
) -> None:
    only("wrong", "absent", "fast")
    text = call("tune", tiny_model_dir, "--input", pictures, "--threads", 1)
    lines = [line for line in text.splitlines() if " chosen " in line or " rejected " in line]
    reasons = {
        "fast": "same results as plain Paddle; ",
        "wrong": "its results differ from plain Paddle's: ",
        "absent": "not available: the engine is not installed",
        "paddle": "baseline; the chosen engine is ",
    }
    assert [line.split(",")[0] for line in lines] == list(reasons)
    for line, reason in zip(lines, reasons.values(), strict=True):
        assert reason in line
    assert " chosen " in lines[0]
    assert "validation of fast, 1 thread: " in text
    explained = call("explain", tiny_model_dir, "--threads", 1)
    assert explained == text
    (report,) = json.loads(call("tune", tiny_model_dir, "--threads", 1, "--json"))
    assert report == json.loads(call("explain", tiny_model_dir, "--threads", 1, "--json"))
    assert report["engine"]["backend"] == "fast"
    assert {trial["state"] for trial in report["trials"]} == {"wrong", "absent", "verified"}
    # On a busy machine the order is confirmed later.
    assert report["complete"] == (not report["provisional"])


def test_explain_tunes_first_where_nothing_is_known(
    only: Register, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("absent")
    monkeypatch.setenv("HPIP_TUNE_BUDGET_S", "300")
    first = call("explain", tiny_model_dir, "--threads", 1)
    assert "the engine is not installed" in first
    monkeypatch.setattr("hpip.cli.tune.tune", None)
    assert call("explain", tiny_model_dir, "--threads", 1) == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "0"], "--budget"),
        (["--precision", "half"], "precision: expected"),
        (["--input", "/nowhere"], "/nowhere"),
        (["--threads", "-1"], "threads"),
    ],
)
def test_bad_arguments_are_errors(tiny_model_dir: Path, arguments: list[str], message: str) -> None:
    result = RUNNER.invoke(app, ["tune", str(tiny_model_dir), *arguments])
    assert result.exit_code != 0
    assert message in str(result.exception)


def test_doctor_looks_at_this_machine() -> None:
    result = RUNNER.invoke(app, ["doctor", "--json"])
    findings = json.loads(result.stdout)
    assert result.exit_code == any(finding["level"] == "problem" for finding in findings)
    assert {"processor", "CPUs", "Paddle", "cache"} <= {finding["topic"] for finding in findings}
    assert "Paddle" in RUNNER.invoke(app, ["doctor"]).stdout
