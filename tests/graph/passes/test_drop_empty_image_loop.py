# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np

from hpip.graph.passes.drop_empty_image_loop import DropEmptyImageLoopPass
from hpip.graph.program import Program
from tests.graph.heads import coefficient_masks, feeds, region_masks
from tests.graph.programs import run


def test_outputs_with_boxes_stay_the_same(tmp_path: Path) -> None:
    folder = region_masks(tmp_path)
    program = Program.read(folder / "inference.json")
    assert DropEmptyImageLoopPass()(program).modified
    assert not DropEmptyImageLoopPass()(program).modified
    program.write(folder / "dropped.json")
    parameters = folder / "inference.pdiparams"
    for before, after in zip(
        run(folder / "inference.json", parameters, feeds()),
        run(folder / "dropped.json", parameters, feeds()),
        strict=True,
    ):
        np.testing.assert_array_equal(after, before)


def test_a_loop_on_another_condition_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(region_masks(tmp_path) / "inference.json")
    (loop,) = [
        op
        for op in program.block.operations
        if op.name == "pd_op.while" and any(inner.name == "pd_op.if" for inner in op.walk())
    ]
    (branch,) = [op for op in loop.walk() if op.name == "pd_op.if"]
    zero = program.maker(program.maker(branch.inputs[0]).inputs[1])
    zero.set_attribute("value", {"#": "0.a_f64", "D": 1.0})
    assert not DropEmptyImageLoopPass()(program).modified


def test_a_program_without_such_a_loop_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(coefficient_masks(tmp_path) / "inference.json")
    result = DropEmptyImageLoopPass()(program)
    assert not result.modified
    assert "no loop" in result.reason
