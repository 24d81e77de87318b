# SPDX-License-Identifier: Apache-2.0
"""The passes that run on every model, in order; each matches one family of models."""

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
    """Cache key of the passes: their names and versions."""
    return ",".join(f"{step.name}:{step.version}" for step in passes)
