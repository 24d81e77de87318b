# SPDX-License-Identifier: Apache-2.0
"""Each pass that prepares a split, by itself; test_split.py compares the answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hpip.graph.native_ops import is_native, native_attributes, native_kind
from hpip.graph.operation import Operation
from hpip.graph.passes.base import Pass, Sequential
from hpip.graph.passes.cut_coefficient_masks import CutCoefficientMasksPass
from hpip.graph.passes.inline_empty_branch import InlineEmptyBranchPass
from hpip.graph.passes.lift_nms import LiftNmsPass
from hpip.graph.passes.lift_proposals import LiftProposalsPass
from hpip.graph.passes.lift_roi_align import LiftRoiAlignPass
from hpip.graph.passes.lift_row_gathers import LiftRowGathersPass
from hpip.graph.passes.lift_row_repeats import LiftRowRepeatsPass
from hpip.graph.program import Program
from tests.graph.heads import coefficient_masks
from tests.graph.programs import two_branch_net
from tests.graph.two_stage import MOST_PROPOSALS, two_stage


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_stage(tmp_path_factory.mktemp("two-stage")) / "inference.json"


def native(program: Program) -> list[Operation]:
    return [op for op in program.walk() if is_native(op)]


def names(program: Program) -> set[str]:
    return {op.name.removeprefix("pd_op.") for op in program.walk()}


@pytest.mark.parametrize(
    "step",
    [LiftProposalsPass(), LiftRowRepeatsPass(), LiftRoiAlignPass(), LiftRowGathersPass()],
    ids=lambda step: step.name,
)
@pytest.mark.parametrize("other", [two_branch_net, coefficient_masks])
def test_other_programs_are_left_unchanged(
    tmp_path: Path, step: Pass, other: Callable[[Path], Path]
) -> None:
    program = Program.read(other(tmp_path) / "inference.json")
    before = program.to_bytes()
    result = step(program)
    assert not result.modified
    assert result.reason
    assert program.to_bytes() == before


def test_proposals_become_one_step_without_a_loop(exported: Path) -> None:
    program = Program.read(exported)
    assert LiftProposalsPass()(program).modified
    (op,) = native(program)
    assert native_kind(op) == "generate_proposals"
    found = native_attributes(op)
    assert (found["levels"], found["top_n"], found["pre_nms_top_n"]) == (2, MOST_PROPOSALS, 60)
    # Scores, deltas and anchors of two levels, and the sizes of the images.
    assert len(op.inputs) == 7
    assert "generate_proposals" not in names(program)
    assert not LiftProposalsPass()(program).modified


@pytest.mark.parametrize(
    ("name", "index", "value", "reason"),
    [
        ("pd_op.topk", 1, 7.0, "highest scores"),
        ("pd_op.scale", 1, 2.0, "count by one"),
        ("pd_op.full_like", 1, 0.5, "variances"),
    ],
    ids=["fewer than the condition", "every second image", "variances"],
)
def test_other_proposals_are_left_unchanged(
    exported: Path, name: str, index: int, value: float, reason: str
) -> None:
    program = Program.read(exported)
    loop = next(op for op in program.block.operations if op.name == "pd_op.while")
    changed = [op for op in loop.walk() if op.name == name]
    target = changed[-1] if name == "pd_op.scale" else changed[0]
    maker = program.maker(target.inputs[index])
    assert maker is not None
    maker.set_attribute("value", {"#": "0.a_f64", "D": value})
    result = LiftProposalsPass()(program)
    assert not result.modified
    assert reason in result.reason


def test_rows_are_repeated_without_a_loop(exported: Path) -> None:
    program = Program.read(exported)
    LiftProposalsPass()(program)
    assert LiftRowRepeatsPass()(program).modified
    assert [native_kind(op) for op in native(program)] == ["generate_proposals", "repeat_rows"]
    assert not {"while", "array_write_", "create_array"} & names(program)
    assert not LiftRowRepeatsPass()(program).modified


def test_poolings_of_all_levels_become_one_step(exported: Path) -> None:
    program = Program.read(exported)
    InlineEmptyBranchPass()(program)
    assert LiftRoiAlignPass()(program).modified
    first, second = native(program)
    assert native_attributes(first)["pooled_height"] == 3
    assert native_attributes(second)["pooled_height"] == 6
    assert native_attributes(first)["spatial_scales"] == [0.5, 0.25]
    # The mask head's boxes are taken from the rows of NMS, without a slice in between.
    rows = program.type_of(second.inputs[2])
    assert rows is not None
    assert rows.shape == (-1, 6)
    assert not {"roi_align", "distribute_fpn_proposals"} & names(program)


def test_levels_that_are_pooled_differently_are_left_unchanged(exported: Path) -> None:
    program = Program.read(exported)
    pooling = next(op for op in program.walk() if op.name == "pd_op.roi_align")
    pooling.set_attribute("aligned", {"#": "0.a_bool", "D": True})
    result = LiftRoiAlignPass()(program)
    assert not result.modified
    assert "different attributes" in result.reason


def test_suppression_without_a_network_of_boxes_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(two_branch_net(tmp_path) / "inference.json")
    assert not LiftNmsPass()(program).modified


def test_suppression_among_shared_boxes_takes_the_rows_that_it_keeps_along(tmp_path: Path) -> None:
    program = Program.read(coefficient_masks(tmp_path) / "inference.json")
    Sequential([CutCoefficientMasksPass()])(program)
    assert not LiftRowGathersPass()(program).modified
    assert LiftNmsPass()(program).modified
    assert LiftRowGathersPass()(program).modified
    suppression, gathering = native(program)
    assert native_kind(gathering) == "gather_rows"
    assert gathering.inputs[1] == suppression.outputs[1]
    assert not {"multiclass_nms3", "gather"} & names(program)


def test_suppression_becomes_a_step(exported: Path) -> None:
    program = Program.read(exported)
    assert LiftNmsPass()(program).modified
    (op,) = native(program)
    assert native_attributes(op)["keep_top_k"] == 20
    assert "multiclass_nms3" not in names(program)
