# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from hpip.cli.app import app
from hpip.graph.inspect import most_rows, operator_counts, parameter_count, returned_bytes, work
from hpip.graph.program import Program

from .heads import coefficient_masks, image_masks
from .test_choice import SETTINGS

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = coefficient_masks(tmp_path_factory.mktemp("model"))
    (folder / "inference.yml").write_text(yaml.safe_dump(SETTINGS))
    return folder


@pytest.fixture(autouse=True)
def _cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPIP_CACHE_DIR", str(tmp_path / "cache"))


def call(*arguments: str) -> str:
    result = RUNNER.invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_compile_says_what_each_pass_did(model_dir: Path) -> None:
    text = call("compile", str(model_dir), "--no-verify")
    assert "did         CutCoefficientMasksPass" in text
    assert "left        CutImageMasksPass" in text
    assert "cache/graph" in text
    assert "cut program" in call("cache", "list")
    assert "freed" in call("cache", "clear")
    assert "0 entries" in call("cache", "list")


def test_inspect_shows_the_model_and_what_is_saved(model_dir: Path) -> None:
    text = call("inspect", str(model_dir))
    assert "model:      Little" in text
    assert "score_threshold" not in text.split("operators:")[0]
    assert "1 multiclass_nms3" in text or "multiply-adds" in text
    line = next(line for line in text.splitlines() if "4K" in line)
    before, after = (float(word) for word in line.replace("->", "").replace("MB", "").split()[1:])
    assert before > 600
    assert after < 0.1


def test_inspect_of_a_model_of_no_family_says_why(tmp_path: Path) -> None:
    folder = image_masks(tmp_path, probability=0.3)
    (folder / "inference.yml").write_text(yaml.safe_dump(SETTINGS))
    assert "cut:        no: no pass matched" in call("inspect", str(folder))


def test_arithmetic_is_counted_per_image(tmp_path: Path) -> None:
    program = Program.read(image_masks(tmp_path) / "inference.json")
    assert work(program).macs == 5 * 8 * 8 * 3 * 4 * 4
    assert parameter_count(program) == 5 * 3 * 4 * 4 + 5
    assert operator_counts(program)["conv2d"] == 1
    assert most_rows(program) == 100


def test_masks_at_the_images_size_dominate_what_is_returned(model_dir: Path) -> None:
    program = Program.read(model_dir / "inference.json")
    assert most_rows(program) == 20
    masks = 20 * 1000 * 500 * 4
    assert masks <= returned_bytes(program, (1000, 500)) <= masks + 1000
