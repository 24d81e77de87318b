# SPDX-License-Identifier: Apache-2.0
"""The main job on a real graph of each family and real photos."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_app import run

FAMILIES = (
    "Mask-RT-DETR-S",
    "PP-YOLOE_seg-S",
    "SOLOv2",
    "MaskRCNN-ResNet50-FPN",
    "Cascade-MaskRCNN-ResNet50-FPN",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_the_command_segments_a_folder_of_photos(
    name: str, zoo_model: Callable[[str], Path], photos_dir: Path, tmp_path: Path
) -> None:
    done = run(
        "predict", "--model_dir", zoo_model(name), "--input", photos_dir, "--save_path", tmp_path,
        "--device", "cpu", "--threshold", "0.3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    photos = sorted(path.stem for path in photos_dir.glob("*.jpg"))
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [
        f"{p}_res.json" for p in photos
    ]
    assert sorted(path.name for path in tmp_path.glob("*.jpg")) == [f"{p}_res.jpg" for p in photos]
    records = [json.loads((tmp_path / f"{p}_res.json").read_text()) for p in photos]
    assert any(record["boxes"] for record in records)
    assert all(len(record["boxes"]) == len(record["masks"]) for record in records)
