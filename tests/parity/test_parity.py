# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PARITY = Path(__file__).with_name("parity.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    "model_name",
    [
        "Mask-RT-DETR-S",
        "MaskRCNN-ResNet50-FPN",
        "Cascade-MaskRCNN-ResNet50-FPN",
        "PP-YOLOE_seg-S",
        "SOLOv2",
    ],
)
def test_the_reference_path_answers_as_paddlex(
    model_name: str, zoo_model: Callable[[str], Path], photos_dir: Path
) -> None:
    photos = sorted(photos_dir.glob("*.jpg"))
    models_and_photos = ["--model_dir", zoo_model(model_name), "--photo", *photos]
    done = subprocess.run(
        [sys.executable, PARITY, "--keep", *models_and_photos],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
