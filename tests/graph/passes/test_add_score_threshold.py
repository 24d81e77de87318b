# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpip.graph.passes.add_score_threshold import SCORE_THRESHOLD, AddScoreThresholdPass
from hpip.graph.passes.base import Pass
from hpip.graph.passes.cut_coefficient_masks import CutCoefficientMasksPass
from hpip.graph.passes.cut_matrix_nms_masks import CutMatrixNmsMasksPass
from hpip.graph.passes.cut_region_masks import CutRegionMasksPass
from hpip.graph.passes.drop_empty_image_loop import DropEmptyImageLoopPass
from hpip.graph.program import Program
from tests.graph.heads import coefficient_masks, image_masks, matrix_nms_masks, region_masks
from tests.graph.truncation import assert_same, rewrite

THRESHOLDS = [0.0, 0.05, 0.3, 0.5, 0.7, 0.9, 1.5]


@pytest.mark.parametrize(
    ("head", "passes"),
    [
        (region_masks, [DropEmptyImageLoopPass(), CutRegionMasksPass()]),
        (coefficient_masks, [CutCoefficientMasksPass()]),
        (matrix_nms_masks, [CutMatrixNmsMasksPass()]),
    ],
    ids=["region", "coefficient", "matrix_nms"],
)
def test_every_instance_above_the_threshold_is_unchanged(
    tmp_path: Path, head: Any, passes: list[Pass]
) -> None:
    folder = head(tmp_path)
    program, source = rewrite(folder, [*passes, AddScoreThresholdPass()])
    assert SCORE_THRESHOLD in program.inputs
    assert_same(folder, source, THRESHOLDS)


def test_scores_that_may_rise_again_are_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(matrix_nms_masks(tmp_path) / "inference.json")
    CutMatrixNmsMasksPass()(program)
    (smallest,) = [op for op in program.walk() if op.name == "pd_op.min"]
    smallest.raw["#"] = "1.max"
    result = AddScoreThresholdPass()(Program(program.to_json()))
    assert not result.modified


@pytest.mark.parametrize(
    ("attribute", "value"), [("nms_eta", 0.9), ("score_threshold", -1.0)], ids=["eta", "negative"]
)
def test_nms_that_depends_on_dropped_scores_is_left_unchanged(
    tmp_path: Path, attribute: str, value: float
) -> None:
    program = Program.read(coefficient_masks(tmp_path) / "inference.json")
    (nms,) = [op for op in program.walk() if op.name == "pd_op.multiclass_nms3"]
    nms.set_attribute(attribute, {"#": "0.a_f32", "D": value})
    assert not AddScoreThresholdPass()(program).modified


def test_a_program_without_nms_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(image_masks(tmp_path) / "inference.json")
    result = AddScoreThresholdPass()(program)
    assert not result.modified
    assert "no NMS" in result.reason
