# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

from hpip.graph.passes.add_score_threshold import AddScoreThresholdPass
from hpip.graph.passes.cut_coefficient_masks import CutCoefficientMasksPass
from hpip.graph.program import Program
from tests.graph.heads import coefficient_masks, feeds, image_masks
from tests.graph.truncation import assert_same, rewrite, run_truncated


def test_coefficients_come_out_and_the_oracle_finishes_them(tmp_path: Path) -> None:
    folder = coefficient_masks(tmp_path)
    program, source = rewrite(folder, [CutCoefficientMasksPass()])
    assert not [op for op in program.walk() if op.name == "pd_op.if"]
    assert (source.has_prototypes, source.upsample_hw) == (True, (32, 32))
    assert_same(folder, source)


def test_no_box_gives_no_rows(tmp_path: Path) -> None:
    folder = coefficient_masks(tmp_path)
    _, source = rewrite(folder, [CutCoefficientMasksPass(), AddScoreThresholdPass()])
    rows, masks = run_truncated(folder, source, feeds(), threshold=2.0)
    assert rows.shape == (0, 6)
    assert masks.shape == (0, 48, 40)


def test_another_threshold_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(coefficient_masks(tmp_path, threshold=0.45) / "inference.json")
    result = CutCoefficientMasksPass()(program)
    assert not result.modified
    assert "0.5" in result.reason


def test_another_family_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(image_masks(tmp_path) / "inference.json")
    assert not CutCoefficientMasksPass()(program).modified


def test_a_moved_corner_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(coefficient_masks(tmp_path) / "inference.json")
    (swapped, other) = [op for op in program.walk() if op.name == "pd_op.less_than"]
    swapped.set_input(1, other.inputs[1])
    program.touch()
    result = CutCoefficientMasksPass()(program)
    assert not result.modified
    assert "box" in result.reason
