# SPDX-License-Identifier: Apache-2.0
"""What hpip promises against stock PaddleX, and how it is measured."""

from __future__ import annotations

from dataclasses import dataclass

from hpip.bench.contender import AUTO, UNCUT_ONNXRUNTIME

DEFAULT, PLAIN, UNCUT = "paddlex", "paddlex-paddle", UNCUT_ONNXRUNTIME
# Where rounding alone moves a model's answers, only plain Paddle gives the same; these show what
# the plan reaches on an engine.
NAMED = ("onnxruntime", "openvino")
SMALL, LARGE = "480x640", "1080x1920"
THRESHOLD = 0.5


@dataclass(frozen=True)
class Goal:
    """One promise; limits that are None are not part of it.

    Attributes:
        model: official name.
        size: the picture's height and width.
        speed_up: at least so many times as fast as the other side.
        rss_gb: peak memory in 10^9 bytes, at most.
        rss_share: peak memory as a part of the other side's, at most.
        latency_s: one call, at most.
        arithmetic: the network's time over that of as much arithmetic in a matrix product, at most.
        uncut: the other side is the whole graph on ONNX Runtime, in place of PaddleX's own choice.
    """

    model: str
    size: str = LARGE
    speed_up: float | None = None
    rss_gb: float | None = None
    rss_share: float | None = None
    latency_s: float | None = None
    arithmetic: float | None = None
    uncut: bool = False


_SMALLEST = "Mask-RT-DETR-S"
GOALS = (
    Goal(_SMALLEST, SMALL, speed_up=6, rss_gb=1.0),
    Goal(_SMALLEST, speed_up=16, rss_gb=1.0),
    Goal(_SMALLEST, speed_up=1.9, rss_share=0.25, uncut=True),
    Goal(_SMALLEST, arithmetic=1.4),
    Goal("Mask-RT-DETR-M", speed_up=8, rss_share=0.6),
    Goal("Mask-RT-DETR-L", speed_up=6, rss_share=0.6),
    Goal("Mask-RT-DETR-X", speed_up=5, rss_share=0.6),
    Goal("Mask-RT-DETR-H", speed_up=4, rss_share=0.6),
    Goal("PP-YOLOE_seg-S", speed_up=80, rss_gb=0.6),
    Goal("SOLOv2", speed_up=4, rss_share=1),
    Goal("MaskRCNN-ResNet50-FPN", speed_up=18, rss_gb=2),
    Goal("MaskRCNN-ResNet50-vd-FPN", speed_up=18, rss_gb=2),
    Goal("Cascade-MaskRCNN-ResNet50-FPN", speed_up=14, rss_gb=2),
    Goal("Cascade-MaskRCNN-ResNet50-vd-SSLDv2-FPN", speed_up=14, rss_gb=2),
    Goal("MaskRCNN-ResNet101-FPN", speed_up=14, rss_gb=2.5),
    Goal("MaskRCNN-ResNet101-vd-FPN", speed_up=14, rss_gb=2.5),
    Goal("MaskRCNN-ResNeXt101-vd-FPN", speed_up=10, rss_gb=2.5),
    Goal("MaskRCNN-ResNet50", latency_s=60, rss_gb=3),
)


MODELS = tuple(dict.fromkeys(goal.model for goal in GOALS))


@dataclass(frozen=True)
class Suite:
    """Models that are measured against the same contenders."""

    name: str
    models: tuple[str, ...]
    backends: tuple[str, ...]
    sizes: tuple[str, ...] = (LARGE,)
    timeout_s: float = 900.0


SUITES = (
    Suite("smallest", (_SMALLEST,), (AUTO, DEFAULT, UNCUT), (SMALL, LARGE)),
    # PaddleX runs these through oneDNN where it can; on some processors that answers wrongly.
    Suite(
        "one-stage",
        (
            "Mask-RT-DETR-M",
            "Mask-RT-DETR-L",
            "PP-YOLOE_seg-S",
        ),
        (AUTO, DEFAULT, PLAIN),
    ),
    Suite("large", ("Mask-RT-DETR-X", "Mask-RT-DETR-H"), (AUTO, *NAMED, DEFAULT, PLAIN)),
    Suite("solov2", ("SOLOv2",), (AUTO, DEFAULT)),
    Suite(
        "two-stage",
        (
            "MaskRCNN-ResNet50-FPN",
            "MaskRCNN-ResNet50-vd-FPN",
            "MaskRCNN-ResNet101-FPN",
            "MaskRCNN-ResNet101-vd-FPN",
            "MaskRCNN-ResNeXt101-vd-FPN",
        ),
        (AUTO, "onnxruntime", DEFAULT),
    ),
    Suite(
        "cascade",
        ("Cascade-MaskRCNN-ResNet50-FPN", "Cascade-MaskRCNN-ResNet50-vd-SSLDv2-FPN"),
        (AUTO, "onnxruntime", DEFAULT),
    ),
    # Plain Paddle may take ten minutes a call: killed before, and the row then says so.
    Suite("c4", ("MaskRCNN-ResNet50",), (AUTO,), timeout_s=300.0),
)
