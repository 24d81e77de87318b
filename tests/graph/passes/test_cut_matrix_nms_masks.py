# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

from hpip.graph.passes.cut_matrix_nms_masks import CutMatrixNmsMasksPass
from hpip.graph.program import Program
from tests.graph.heads import image_masks, matrix_nms_masks
from tests.graph.truncation import assert_same, rewrite


def test_small_masks_come_out_and_the_oracle_finishes_them(tmp_path: Path) -> None:
    folder = matrix_nms_masks(tmp_path)
    program, source = rewrite(folder, [CutMatrixNmsMasksPass()])
    assert [op.attribute("name") for op in program.outputs] == ["class_ids", "scores", "masks"]
    assert not [op for op in program.walk() if op.name == "pd_op.bilinear_interp"]
    assert_same(folder, source)


def test_another_threshold_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(matrix_nms_masks(tmp_path, threshold=0.6) / "inference.json")
    assert not CutMatrixNmsMasksPass()(program).modified


def test_another_number_of_outputs_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(image_masks(tmp_path) / "inference.json")
    result = CutMatrixNmsMasksPass()(program)
    assert not result.modified
    assert "4 outputs" in result.reason
