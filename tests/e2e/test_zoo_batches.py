# SPDX-License-Identifier: Apache-2.0
"""Images of a batch come out as they do alone, wherever a compiled model takes batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from hpip.common.devices import Device
from hpip.graph.compile import compile_model
from hpip.inference.execution.plan import TruncatedPlan
from hpip.inference.execution.postprocess import InstanceFilter
from hpip.inference.execution.runner import Engine, Runner
from hpip.inference.tuning.gates import Prediction
from hpip.inference.tuning.truncation_check import small_input
from hpip.model.spec import load_model_spec
from hpip.results.comparison import compare

BATCHED = [
    "Mask-RT-DETR-S",
    "Mask-RT-DETR-H",
    "PP-YOLOE_seg-S",
    "MaskRCNN-ResNet50-FPN",
    "MaskRCNN-ResNeXt101-vd-FPN",
    "MaskRCNN-ResNet50",
]
# Sizes of the first image stand for all, or nothing tells the instances of the images apart.
ONE_BY_ONE = ["Cascade-MaskRCNN-ResNet50-FPN", "SOLOv2"]


@pytest.mark.slow
@pytest.mark.parametrize("name", BATCHED)
def test_a_batch_comes_out_as_its_images(
    name: str, zoo_model: Callable[[str], Path], photos_dir: Path
) -> None:
    spec = small_input(load_model_spec(zoo_model(name)))
    compiled = compile_model(spec.files)
    assert compiled.max_batch_size is None
    images = [
        cv2.resize(cv2.imread(str(path)), (640, 480)) for path in sorted(photos_dir.glob("*.jpg"))
    ][:2]
    runner = Runner(TruncatedPlan(compiled), spec.preprocess, Engine("paddle", Device("cpu"), 2))
    instance_filter = InstanceFilter(0.3)
    together = runner.infer(images, instance_filter)
    for image, found in zip(images, together, strict=True):
        (alone,) = runner.infer([image], instance_filter)
        comparison = compare(Prediction(0.3, alone), Prediction(0.3, found), 0.3)
        assert comparison.same, comparison.violations()
    runner.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_what_mixes_images_takes_one(name: str, zoo_model: Callable[[str], Path]) -> None:
    assert compile_model(load_model_spec(zoo_model(name)).files).max_batch_size == 1
