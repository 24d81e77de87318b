# SPDX-License-Identifier: Apache-2.0
"""hpip's performance goals against stock PaddleX, and the suites that measure them."""

from __future__ import annotations

from dataclasses import dataclass

from hpip.bench.contender import AUTO, PADDLEX

DEFAULT, PLAIN, _ = PADDLEX
SMALL, LARGE = "480x640", "1080x1920"
THRESHOLD = 0.5


@dataclass(frozen=True)
class Goal:
    """The goals for one model and image size; None means no goal.

    Attributes:
        model: official name.
        size: height and width of the image.
        speed_up: minimum speed-up over PaddleX's default.
        rss_gb: maximum peak memory in 10^9 bytes.
        rss_share: maximum peak memory relative to PaddleX's default.
        latency_s: maximum latency of a call.
        arithmetic: maximum time of the network relative to a matrix product with as many FLOPs.
    """

    model: str
    size: str = LARGE
    speed_up: float | None = None
    rss_gb: float | None = None
    rss_share: float | None = None
    latency_s: float | None = None
    arithmetic: float | None = None


_SMALLEST, _CROWDED = "Mask-RT-DETR-S", "PP-YOLOE_seg-S"
_CASCADES = ("Cascade-MaskRCNN-ResNet50-FPN", "Cascade-MaskRCNN-ResNet50-vd-SSLDv2-FPN")
_TWO_STAGE = {
    "MaskRCNN-ResNet50-FPN": 38,
    "MaskRCNN-ResNet50-vd-FPN": 38,
    "MaskRCNN-ResNet101-FPN": 28,
    "MaskRCNN-ResNet101-vd-FPN": 28,
    "MaskRCNN-ResNeXt101-vd-FPN": 18,
}
GOALS = (
    Goal(_SMALLEST, SMALL, speed_up=8, rss_gb=0.7),
    Goal(_SMALLEST, speed_up=30, rss_gb=0.7),
    Goal(_SMALLEST, arithmetic=1.05),
    Goal("Mask-RT-DETR-M", speed_up=31, rss_share=0.35),
    Goal("Mask-RT-DETR-L", speed_up=15, rss_share=0.35),
    Goal("Mask-RT-DETR-X", speed_up=11, rss_share=0.35),
    Goal("Mask-RT-DETR-H", speed_up=8, rss_share=0.45),
    Goal(_CROWDED, speed_up=70, rss_gb=0.42),
    Goal("SOLOv2", speed_up=11, rss_share=0.5),
    *(Goal(model, speed_up=times, rss_gb=1.3) for model, times in _TWO_STAGE.items()),
    *(Goal(model, speed_up=36, rss_gb=1.4) for model in _CASCADES),
    Goal("MaskRCNN-ResNet50", latency_s=12, rss_gb=2.5),
)


MODELS = tuple(dict.fromkeys(goal.model for goal in GOALS))


@dataclass(frozen=True)
class Suite:
    """Models that are measured with the same contenders.

    Attributes:
        name: for the command line.
        models: official names.
        backends: contenders.
        sizes: sizes to which the photo is resized.
        timeout_s: maximum time of a call; a contender that takes longer gets no latency.
        crowded: whether to use the photo with many instances.
    """

    name: str
    models: tuple[str, ...]
    backends: tuple[str, ...]
    sizes: tuple[str, ...] = (LARGE,)
    timeout_s: float = 900.0
    crowded: bool = False


SUITES = (
    Suite("smallest", (_SMALLEST,), (AUTO, DEFAULT), (SMALL, LARGE)),
    # PaddleX does not use oneDNN for these models, so its default is plain Paddle.
    Suite("plain", ("Mask-RT-DETR-M", "SOLOv2"), (AUTO, DEFAULT)),
    Suite("onednn", ("Mask-RT-DETR-L", "Mask-RT-DETR-X", "Mask-RT-DETR-H"), (AUTO, DEFAULT, PLAIN)),
    Suite("crowded", (_CROWDED,), (AUTO, DEFAULT, PLAIN), crowded=True),
    Suite("two-stage", tuple(_TWO_STAGE), (AUTO, DEFAULT)),
    Suite("cascade", _CASCADES, (AUTO, DEFAULT)),
    # Plain Paddle may take ten minutes per call; then it is killed, and the row says so.
    Suite("c4", ("MaskRCNN-ResNet50",), (AUTO,), timeout_s=300.0),
)
