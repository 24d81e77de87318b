# SPDX-License-Identifier: Apache-2.0
"""At 4K, where the original graphs do not fit, masks are compared with the slow oracle.

The oracle starts from the outputs of the truncated graph; test_zoo_answers.py compares those with
the original graphs on images of a size that they can run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hpip import ops
from hpip.backends.base import Session
from hpip.graph.compile import compile_model
from hpip.inference.execution.plan import TruncatedPlan
from hpip.inference.execution.postprocess import InstanceFilter
from hpip.inference.execution.preprocess import network_inputs
from hpip.model.spec import load_model_spec
from tests.graph.mask_oracle import finish
from tests.graph.splitting import open_with_paddle

Array = np.ndarray[Any, Any]

IMAGE_HW = (2160, 3840)
# Each costs the oracle a second or two, and 8 MB.
MOST_COMPARED = 8


def one_row(outputs: dict[str, Array], index: int) -> dict[str, Array]:
    """The graph's outputs for one instance."""
    found = {}
    for name, array in outputs.items():
        if name in ("prototypes", "counts"):
            found[name] = array
        elif name in ("boxes", "class_ids", "scores"):
            found[name] = array[index : index + 1]
        else:
            # Batch and instances may be one axis or two.
            tail = array.shape[-1:] if name == "coefficients" else array.shape[-2:]
            found[name] = array.reshape(-1, *tail)[index : index + 1]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "threshold"),
    [
        ("Mask-RT-DETR-S", 0.4),
        ("PP-YOLOE_seg-S", 0.2),
        ("SOLOv2", 0.3),
        ("MaskRCNN-ResNet50-FPN", 0.3),
    ],
)
def test_masks_at_4k_are_the_oracles(
    name: str, threshold: float, zoo_model: Callable[[str], Path], photos_dir: Path
) -> None:
    spec = load_model_spec(zoo_model(name))
    compiled = compile_model(spec.files)
    plan = TruncatedPlan(compiled)
    photo = cv2.imread(str(min(photos_dir.glob("*.jpg"))))
    image = cv2.resize(photo, IMAGE_HW[::-1], interpolation=cv2.INTER_CUBIC)
    inputs = network_inputs([image], spec.preprocess, threads=2)
    instance_filter = InstanceFilter(threshold)
    session: Session = plan.open(open_with_paddle, threads=2)
    feeds = plan.feeds(inputs, instance_filter)
    outputs = session.run({key: feeds[key] for key in session.input_names})
    session.close()
    (found,) = plan.collect(outputs, inputs, [IMAGE_HW], instance_filter, threads=2)
    named = dict(zip(plan.outputs, outputs, strict=True))
    scores = named["scores"] if "scores" in named else named["boxes"][:, 1]
    kept = np.flatnonzero(np.isin(scores, found.scores))
    assert len(found.masks) > 0
    compared = 0
    for instance, mask in enumerate(found.masks[:MOST_COMPARED]):
        (row,) = (index for index in kept if scores[index] == found.scores[instance])
        assert compiled.masks is not None
        rows, (wanted,) = finish(
            compiled.masks, one_row(named, row), inputs["im_shape"][0], inputs["scale_factor"][0]
        )
        if compiled.masks.boxes_frame != "none":
            np.testing.assert_allclose(
                found.boxes_xyxy[instance],
                rows[0, 2:].clip(0, np.tile(IMAGE_HW[::-1], 2)),
                atol=1e-2,
            )
        (y, x), (height, width) = mask.offset_yx, mask.crop_hw
        decoded = ops.decode_rle(mask.counts, mask.crop_hw)
        different = decoded != wanted[y : y + height, x : x + width]
        # Only a pixel that float rounding decides may differ.
        assert different.mean() < 2e-4
        compared += int(decoded.sum())
    assert compared > 1000
