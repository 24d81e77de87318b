# SPDX-License-Identifier: Apache-2.0
"""Published mask AP of the official models, and hpip's assumptions about their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hpip.types import NormalizeStep, PadStrideStep, PermuteStep, PreprocessPlan, ResizeStep

# The published values are for all images of this file.
PUBLISHED_ON = "instances_val2017.json"
PUBLISHED_IMAGES = 5000


@dataclass(frozen=True)
class Family:
    """The common properties of the exported models of one family.

    Attributes:
        name: name for reports.
        layout: "boxes" or "classes", as in `hpip.model.spec.ModelOutputs`.
        masks: element type of the mask output.
        network_hw: height and width of the network's input; None if they are dynamic.
        preprocess: the steps in `inference.yml`.
    """

    name: str
    layout: Literal["boxes", "classes"]
    masks: str
    network_hw: tuple[int, int] | None
    preprocess: PreprocessPlan


@dataclass(frozen=True)
class OfficialModel:
    """One official model.

    Attributes:
        family: its family.
        mask_ap: published mask AP on COCO val2017, in percent.
    """

    family: Family
    mask_ap: float


_TO_UNIT = NormalizeStep(1 / 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
_IMAGENET = NormalizeStep(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SQUARE = PreprocessPlan((ResizeStep((640, 640), False, "cubic"), _TO_UNIT, PermuteStep()))
_PYRAMID = (ResizeStep((800, 1333), True, "cubic"), _IMAGENET, PermuteStep())

_DETR = Family("Mask-RT-DETR", "boxes", "int32", (640, 640), _SQUARE)
_YOLOE = Family("PP-YOLOE_seg", "boxes", "float32", (640, 640), _SQUARE)
_RCNN = Family(
    "MaskRCNN FPN",
    "boxes",
    "int32",
    None,
    PreprocessPlan((*_PYRAMID, PadStrideStep(32))),
)
_C4 = Family("MaskRCNN C4", "boxes", "int32", None, PreprocessPlan((*_PYRAMID, PadStrideStep(-1))))
_SOLO = Family(
    "SOLOv2",
    "classes",
    "uint8",
    None,
    PreprocessPlan(
        (_IMAGENET, ResizeStep((800, 1333), True, "linear"), PermuteStep(), PadStrideStep(32))
    ),
)

OFFICIAL = {
    "Mask-RT-DETR-S": OfficialModel(_DETR, 41.0),
    "Mask-RT-DETR-M": OfficialModel(_DETR, 42.7),
    "Mask-RT-DETR-L": OfficialModel(_DETR, 45.7),
    "Mask-RT-DETR-X": OfficialModel(_DETR, 47.5),
    "Mask-RT-DETR-H": OfficialModel(_DETR, 50.6),
    "PP-YOLOE_seg-S": OfficialModel(_YOLOE, 32.5),
    "SOLOv2": OfficialModel(_SOLO, 35.5),
    "MaskRCNN-ResNet50": OfficialModel(_C4, 32.8),
    "MaskRCNN-ResNet50-FPN": OfficialModel(_RCNN, 35.6),
    "MaskRCNN-ResNet50-vd-FPN": OfficialModel(_RCNN, 36.4),
    "MaskRCNN-ResNet101-FPN": OfficialModel(_RCNN, 36.6),
    "MaskRCNN-ResNet101-vd-FPN": OfficialModel(_RCNN, 38.1),
    "MaskRCNN-ResNeXt101-vd-FPN": OfficialModel(_RCNN, 39.5),
    "Cascade-MaskRCNN-ResNet50-FPN": OfficialModel(_RCNN, 36.3),
    "Cascade-MaskRCNN-ResNet50-vd-SSLDv2-FPN": OfficialModel(_RCNN, 39.1),
}


def official_name(folder: Path, model_name: str) -> str | None:
    """Return the official name of a model directory, or None if it has none.

    Args:
        folder: the directory; its name, without the archive's `_infer`, takes precedence.
        model_name: `Global.model_name` in its `inference.yml`.
    """
    names: Sequence[str] = (folder.name.removesuffix("_infer"), model_name)
    return next((name for name in names if name in OFFICIAL), None)
