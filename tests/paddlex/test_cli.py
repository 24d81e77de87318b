# SPDX-License-Identifier: Apache-2.0
"""The tutorial's command lines, `python -m hpip.paddlex` in place of `paddlex`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from tests.paddlex.conftest import DEMO, child_environment, pipeline_config


def run_paddlex(*arguments: str, module: str = "hpip.paddlex") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def assert_hpip_saves_the_same(
    pipeline_file: Path, picture: Path, folder: Path, label: str
) -> None:
    """Run the tutorial's command with and without `--use_hpip`."""
    common = ["--pipeline", str(pipeline_file), "--input", str(picture)]
    common += ["--device", "cpu", "--threshold", "0.6"]
    records = []
    for name, options in (
        ("plain", []),
        ("fast", ["--use_hpip", "--hpi_config", '{"auto_config": true, "backend": null}']),
    ):
        target = folder / name
        done = run_paddlex(*common, *options, "--save_path", str(target))
        assert done.returncode == 0, done.stderr
        assert f"'label': '{label}" in done.stdout + done.stderr
        saved = f"{picture.stem}_res"
        assert sorted(path.name for path in target.iterdir()) == sorted(
            [f"{saved}.json", f"{saved}{picture.suffix}"]
        )
        records.append(json.loads((target / f"{saved}.json").read_text(encoding="utf-8")))
    expected, found = (record["boxes"] for record in records)
    assert len(expected) == len(found) > 0
    for wanted, box in zip(expected, found, strict=True):
        assert wanted["label"] == box["label"]
        assert abs(wanted["score"] - box["score"]) <= 1e-3
        np.testing.assert_allclose(wanted["coordinate"], box["coordinate"], atol=0.5)


def test_the_demo_model_saves_the_same_with_and_without_use_hpip(
    demo_pipeline_file: Path, tmp_path: Path
) -> None:
    assert_hpip_saves_the_same(demo_pipeline_file, DEMO / "coins.png", tmp_path, "coin")


def test_a_zoo_model_saves_the_same_with_and_without_use_hpip(
    tmp_path: Path, zoo_model: Callable[[str], Path], photos_dir: Path
) -> None:
    photo = min(photos_dir.glob("*.jpg"), key=lambda path: path.stat().st_size)
    pipeline_file = tmp_path / "my_pipeline.yaml"
    config = pipeline_config("Mask-RT-DETR-S", zoo_model("Mask-RT-DETR-S"))
    pipeline_file.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert_hpip_saves_the_same(pipeline_file, photo, tmp_path, "")


def test_the_pipeline_file_is_written_as_paddlex_writes_it(tmp_path: Path) -> None:
    done = run_paddlex(
        "--get_pipeline_config", "instance_segmentation", "--save_path", str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.yaml")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert "InstanceSegmentation" in content["SubModules"]


def test_an_exit_code_is_passed_on(demo_pipeline_file: Path) -> None:
    done = run_paddlex(
        "--pipeline", str(demo_pipeline_file), "--input", "nowhere.png", "--device", "cpu"
    )
    assert done.returncode == 1
    wrong = run_paddlex("--pipeline", str(demo_pipeline_file), "--hpi_config", "{")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: --hpi_config")
