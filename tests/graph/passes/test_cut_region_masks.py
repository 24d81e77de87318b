# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpip.graph.passes.add_score_threshold import AddScoreThresholdPass
from hpip.graph.passes.cut_region_masks import CutRegionMasksPass
from hpip.graph.passes.drop_empty_image_loop import DropEmptyImageLoopPass
from hpip.graph.program import Program
from tests.graph.heads import feeds, image_masks, region_masks
from tests.graph.truncation import assert_same, rewrite, run_original, run_truncated

PASSES = [DropEmptyImageLoopPass(), CutRegionMasksPass()]


@pytest.mark.parametrize("rows_from_loop", [False, True], ids=["plain", "cascade"])
def test_probabilities_come_out_and_the_oracle_pastes_them(
    tmp_path: Path, rows_from_loop: bool
) -> None:
    folder = region_masks(tmp_path, rows_from_loop=rows_from_loop)
    program, source = rewrite(folder, PASSES)
    assert not [op for op in program.walk() if op.name in ("pd_op.while", "pd_op.grid_sample")]
    assert_same(folder, source)


@pytest.mark.parametrize("rows_from_loop", [False, True], ids=["plain", "cascade"])
def test_no_box_gives_no_rows(tmp_path: Path, rows_from_loop: bool) -> None:
    folder = region_masks(tmp_path, rows_from_loop=rows_from_loop)
    _, source = rewrite(folder, [*PASSES, AddScoreThresholdPass()])
    rows, masks = run_truncated(folder, source, feeds(), threshold=2.0)
    assert rows.shape == (0, 6)
    assert masks.shape == (0, 48, 40)


def test_without_the_loop_pass_nothing_is_truncated(tmp_path: Path) -> None:
    program = Program.read(region_masks(tmp_path) / "inference.json")
    result = CutRegionMasksPass()(program)
    assert not result.modified
    assert "counts" in result.reason


def test_another_threshold_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(region_masks(tmp_path, threshold=0.4) / "inference.json")
    assert DropEmptyImageLoopPass()(program).modified
    result = CutRegionMasksPass()(program)
    assert not result.modified
    assert ">= 0.5" in result.reason


def test_swapped_scale_factors_are_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(region_masks(tmp_path) / "inference.json")
    DropEmptyImageLoopPass()(program)
    divided = [
        op
        for op in program.block.operations
        if op.name == "pd_op.divide" and program.maker(op.inputs[1]).name != "pd_op.data"
    ]
    joined = program.maker(divided[0].inputs[1])
    (writer,) = [op for op in program.readers(joined.inputs[0]) if "array_write_" in op.name]
    expand = program.maker(writer.inputs[1])
    combine = program.maker(program.maker(expand.inputs[0]).inputs[0])
    first, second = combine.inputs[:2]
    combine.set_input(0, second)
    combine.set_input(1, first)
    program.touch()
    result = CutRegionMasksPass()(program)
    assert not result.modified
    assert "scale_factor" in result.reason


def test_another_family_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(image_masks(tmp_path) / "inference.json")
    assert not CutRegionMasksPass()(program).modified


def test_boxes_that_clipping_empties_are_marked(tmp_path: Path) -> None:
    folder = region_masks(tmp_path)
    _, source = rewrite(folder, PASSES)
    inputs = feeds()
    inputs["im_shape"] = np.array([[10, 14]], np.float32)
    inputs["scale_factor"] = np.ones((1, 2), np.float32)
    with np.errstate(all="ignore"):
        rows, _ = run_truncated(folder, source, inputs)
    assert (rows[:, 0] == -1).any()
    wanted, _ = run_original(folder, inputs)
    np.testing.assert_allclose(rows, wanted, atol=1e-5)
