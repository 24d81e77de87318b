# SPDX-License-Identifier: Apache-2.0
"""How far rounding alone moves a model's answers: no engine can be asked to come closer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hpip.plans import Plan
from hpip.postprocess import Instances, Selection
from hpip.sameness import Comparison, Tolerance
from hpip.tuning.answers import TRIAL_GATES
from hpip.types import AnyArray

# What each number of the network's input is changed by, up or down by chance. An engine rounds
# anew in every layer: what ONNX Runtime does to the answers of Mask-RT-DETR-S and
# MaskRCNN-ResNet50-FPN is what a change of 1e-6 does to plain Paddle's, sixteen times one rounding
# of a float32 (benchmarks/results/conditioning.json).
ROUNDING = 1e-6
# One picture more, or another sign of the noise, moves the extremes by as much.
_ALLOWANCE = 2.0
_STRICT = TRIAL_GATES["fp32"]
# Where rounding moves answers further than lower precisions may, nothing can be said of an engine.
# No limit for one mask: of 99 pixels in a speckled one, five are 5 %.
WIDEST = Tolerance(
    threshold_margin=0.05, score=0.02, box_px=2.0, mask_iou_each=0.0, mask_iou_mean=0.95
)


class NoisyPlan(Plan):
    """A plan whose picture is changed a little before the network gets it; the same each time.

    Args:
        plan: what is run.
        relative: what each number is changed by, as a part of itself.
    """

    def __init__(self, plan: Plan, relative: float = ROUNDING) -> None:
        self.steps = plan.steps
        self.outputs = plan.outputs
        self.max_batch_size = plan.max_batch_size
        self.summary = f"{plan.summary}, its input changed by {relative:g}"
        self._plan = plan
        self._relative = relative

    def feeds(self, inputs: Mapping[str, AnyArray], selection: Selection) -> dict[str, AnyArray]:
        """Everything that the program may be fed, by name."""
        feeds = self._plan.feeds(inputs, selection)
        return {name: self._changed(a) if a.ndim == 4 else a for name, a in feeds.items()}

    def collect(
        self,
        outputs: Sequence[AnyArray],
        inputs: Mapping[str, AnyArray],
        image_sizes_hw: Sequence[tuple[int, int]],
        selection: Selection,
        *,
        threads: int,
    ) -> list[Instances]:
        """See `Plan.collect`."""
        return self._plan.collect(outputs, inputs, image_sizes_hw, selection, threads=threads)

    def _changed(self, image: AnyArray) -> AnyArray:
        sign = np.random.default_rng(0).choice([-1.0, 1.0], image.shape)
        changed: AnyArray = (image * (1.0 + self._relative * sign)).astype(image.dtype)
        return changed


def rounding_gate(own: Sequence[Comparison]) -> Tolerance:
    """What an engine may differ by where plain Paddle differs from itself.

    Twice what rounding does, where that is more than a trial allows, and at most `WIDEST`.
    Instances that are missing or left over stay as wrong as ever.

    Args:
        own: plain Paddle's answers to pictures against its answers to the same pictures, rounded.
    """
    score = _ALLOWANCE * max((one.max_score_diff for one in own), default=0.0)
    box_px = _ALLOWANCE * max((one.max_box_diff_px for one in own), default=0.0)
    each = 1 - _ALLOWANCE * (1 - min((one.min_mask_iou for one in own), default=1.0))
    mean = 1 - _ALLOWANCE * (1 - min((one.mean_mask_iou for one in own), default=1.0))
    return Tolerance(
        threshold_margin=_between(_STRICT.threshold_margin, score, WIDEST.threshold_margin),
        score=_between(_STRICT.score, score, WIDEST.score),
        box_px=_between(_STRICT.box_px, box_px, WIDEST.box_px),
        mask_iou_each=_between(WIDEST.mask_iou_each, each, _STRICT.mask_iou_each),
        mask_iou_mean=_between(WIDEST.mask_iou_mean, mean, _STRICT.mask_iou_mean),
    )


def _between(least: float, value: float, most: float) -> float:
    return min(max(least, value), most)
