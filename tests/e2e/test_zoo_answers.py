# SPDX-License-Identifier: Apache-2.0
"""Results of the truncated graphs match the original graphs', on real models and photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import hpip
from hpip.results.comparison import compare

MODELS = [
    "Mask-RT-DETR-S",
    "Mask-RT-DETR-M",
    "Mask-RT-DETR-L",
    "Mask-RT-DETR-X",
    "Mask-RT-DETR-H",
    "PP-YOLOE_seg-S",
    "SOLOv2",
    "MaskRCNN-ResNet50-FPN",
    "MaskRCNN-ResNet50-vd-FPN",
    "MaskRCNN-ResNet101-FPN",
    "MaskRCNN-ResNet101-vd-FPN",
    "MaskRCNN-ResNeXt101-vd-FPN",
    "Cascade-MaskRCNN-ResNet50-FPN",
    "Cascade-MaskRCNN-ResNet50-vd-SSLDv2-FPN",
    "MaskRCNN-ResNet50",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_answers_are_the_exports(
    name: str, zoo_model: Callable[[str], Path], photos_dir: Path
) -> None:
    folder = zoo_model(name)
    photos = sorted(str(path) for path in photos_dir.glob("*.jpg"))
    with (
        hpip.create_predictor(model_dir=folder, device="cpu", use_hpip=True) as truncated,
        hpip.create_predictor(model_dir=folder, device="cpu", use_hpip=False) as original,
    ):
        assert "truncated graph" in truncated.explain()
        for threshold in (0.3, 0.5):
            results = zip(
                original.predict(photos, threshold=threshold),
                truncated.predict(photos, threshold=threshold),
                strict=True,
            )
            for wanted, found in results:
                comparison = compare(wanted, found, threshold)
                assert comparison.same, (wanted.input_path, comparison.violations())
