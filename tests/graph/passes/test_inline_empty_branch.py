# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from hpip.graph.passes.add_score_threshold import AddScoreThresholdPass
from hpip.graph.passes.cut_region_masks import CutRegionMasksPass
from hpip.graph.passes.drop_empty_image_loop import DropEmptyImageLoopPass
from hpip.graph.passes.inline_empty_branch import InlineEmptyBranchPass
from hpip.graph.program import Program
from tests.graph.heads import coefficient_masks, feeds, region_masks
from tests.graph.truncation import assert_same, rewrite, run_truncated

PASSES = [
    DropEmptyImageLoopPass(),
    InlineEmptyBranchPass(),
    CutRegionMasksPass(),
    AddScoreThresholdPass(),
]


@pytest.mark.parametrize("rows_from_loop", [False, True], ids=["plain", "cascade"])
def test_the_mask_head_runs_without_control_flow(tmp_path: Path, rows_from_loop: bool) -> None:
    folder = region_masks(tmp_path, rows_from_loop=rows_from_loop)
    program, source = rewrite(folder, PASSES)
    assert not [op for op in program.walk() if op.regions]
    assert_same(folder, source, [0.0, 0.5])
    rows, masks = run_truncated(folder, source, feeds(), threshold=2.0)
    assert rows.shape == (0, 6)
    assert masks.shape == (0, 48, 40)


def test_another_condition_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(coefficient_masks(tmp_path) / "inference.json")
    result = InlineEmptyBranchPass()(program)
    assert not result.modified
    assert "zero rows" in result.reason


def test_a_condition_on_one_row_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(region_masks(tmp_path) / "inference.json")
    (branch,) = [op for op in program.block.operations if op.name == "pd_op.if"]
    zero = program.maker(program.maker(branch.inputs[0]).inputs[1])
    zero.set_attribute("value", {"#": "0.a_f64", "D": 1.0})
    assert not InlineEmptyBranchPass()(program).modified


def test_work_of_fixed_length_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(region_masks(tmp_path) / "inference.json")
    (branch,) = [op for op in program.block.operations if op.name == "pd_op.if"]
    last = branch.regions[1].blocks[0].operations[-1]
    maker = program.maker(last.inputs[0])
    maker.output_type_json(0)["D"][1][0] = 5
    program.touch()
    assert not InlineEmptyBranchPass()(program).modified
