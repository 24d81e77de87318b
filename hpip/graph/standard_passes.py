# SPDX-License-Identifier: Apache-2.0
"""The passes that every model goes through, in order; each acts on the family that it knows."""

from __future__ import annotations

from collections.abc import Sequence

from hpip.graph.passes.add_score_threshold import AddScoreThresholdPass
from hpip.graph.passes.base import Pass
from hpip.graph.passes.cut_coefficient_masks import CutCoefficientMasksPass
from hpip.graph.passes.cut_image_masks import CutImageMasksPass
from hpip.graph.passes.cut_matrix_nms_masks import CutMatrixNmsMasksPass
from hpip.graph.passes.cut_region_masks import CutRegionMasksPass
from hpip.graph.passes.drop_empty_image_loop import DropEmptyImageLoopPass

PASSES: tuple[Pass, ...] = (
    CutImageMasksPass(),
    DropEmptyImageLoopPass(),
    CutRegionMasksPass(),
    CutCoefficientMasksPass(),
    CutMatrixNmsMasksPass(),
    AddScoreThresholdPass(),
)


def passes_key(passes: Sequence[Pass]) -> str:
    """Names and versions of the passes: what they write depends on this and the model only."""
    return ",".join(f"{step.name}:{step.version}" for step in passes)
