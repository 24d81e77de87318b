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
    "Cascade-MaskRCNN-ResNet50-FPN",
    "Cascade-MaskRCNN-ResNet50-vd-SSLDv2-FPN",
]
# It takes the features of the first image, and no output assigns the instances to the images.
ONE_BY_ONE = ["SOLOv2"]


@pytest.mark.slow
@pytest.mark.parametrize("name", BATCHED)
def test_a_batch_comes_out_as_its_images(
    name: str, zoo_model: Callable[[str], Path], photos_dir: Path
) -> None:
    spec = small_input(load_model_spec(zoo_model(name)))
    compiled = compile_model(spec.files)
    assert compiled.max_batch_size is None
    photos = [cv2.imread(str(path)) for path in sorted(photos_dir.glob("*.jpg"))][:2]
    # Images of other sizes, scales and widths in the same input of the network, whose width is a
    # multiple of 32; that of C4 models is the image's.
    second_wh = (1280, 960) if name == "MaskRCNN-ResNet50" else (1320, 960)
    images = [cv2.resize(photos[0], (640, 480)), cv2.resize(photos[1], second_wh)]
    runner = Runner(TruncatedPlan(compiled), spec.preprocess, Engine("paddle", Device("cpu"), 2))
    instance_filter = InstanceFilter(0.3)
    together = runner.infer(images, instance_filter)
    for image, found in zip(images, together, strict=True):
        (alone,) = runner.infer([image], instance_filter)
        comparison = compare(Prediction(0.3, alone), Prediction(0.3, found), 0.3)
        assert comparison.same, comparison.violations()
    assert all(len(found.scores) > 0 for found in together)
    runner.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_what_mixes_images_takes_one(name: str, zoo_model: Callable[[str], Path]) -> None:
    assert compile_model(load_model_spec(zoo_model(name)).files).max_batch_size == 1
