# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpip.graph.batching import is_batch_safe, takes_first_image
from hpip.graph.builder import double, integers
from hpip.graph.match import listed, made_by
from hpip.graph.operation import Operation
from hpip.graph.parts import DensePart
from hpip.graph.passes.base import Sequential
from hpip.graph.passes.separate_images import SeparateImagesPass
from hpip.graph.program import Program
from hpip.graph.split import LIFTS, split
from tests.graph.splitting import assert_same, run_each, run_plan, split_folder
from tests.graph.two_stage import batch_feeds, two_stage

SEPARATE = next(step for step in LIFTS if isinstance(step, SeparateImagesPass))


def dense_programs(exported: Path) -> list[Program]:
    parts = split(Program.read(exported / "inference.json"))
    return [part.program for part in parts if isinstance(part, DensePart)]


@pytest.mark.parametrize("levels", [1, 2])
def test_a_cascade_gives_the_images_of_a_batch_their_own_answers(
    tmp_path: Path, levels: int
) -> None:
    exported = two_stage(tmp_path, levels=levels, cascade=True)
    assert not is_batch_safe(Program.read(exported / "inference.json"))
    assert all(is_batch_safe(program) for program in dense_programs(exported))
    # The largest image is neither the first nor the last: its boxes reach beyond the others.
    inputs = {name: array[[1, 0, 2]] for name, array in batch_feeds(3).items()}
    wanted = run_each(exported, inputs)
    assert (wanted[1] > 0).all()
    assert_same(run_plan(exported, split_folder(exported), inputs), wanted)


def test_other_models_have_nothing_to_separate(tmp_path: Path) -> None:
    program = Program.read(two_stage(tmp_path) / "inference.json")
    steps = dict(Sequential(LIFTS)(program).steps)
    result = steps[SEPARATE.name]
    assert not result.modified
    assert "first image" in result.reason


def swapped(boxes: Any) -> Any:
    """The boxes in reverse order: those of the last image first."""
    return boxes.flip([0])


def merged(boxes: Any) -> Any:
    """Twice as many rows as boxes."""
    return boxes.tile([1, 2]).reshape([-1, 4])


def shifted(boxes: Any) -> Any:
    """All boxes but the first."""
    return boxes[1:]


@pytest.mark.parametrize("between", [swapped, merged, shifted])
def test_stages_that_change_the_rows_keep_one_image(
    tmp_path: Path, between: Callable[[Any], Any]
) -> None:
    """Which image such a row belongs to is not known."""
    exported = two_stage(tmp_path, cascade=True, between_stages=between)
    program = Program.read(exported / "inference.json")
    steps = dict(Sequential(LIFTS)(program).steps)
    assert not steps[SEPARATE.name].modified
    assert not all(is_batch_safe(program) for program in dense_programs(exported))


def lifted(exported: Path) -> Program:
    program = Program.read(exported / "inference.json")
    Sequential(LIFTS[: LIFTS.index(SEPARATE)])(program)
    return program


def first_image(program: Program) -> list[Operation]:
    return [op for op in program.block.operations if takes_first_image(program, op)]


def test_another_lower_bound_is_left_unchanged(tmp_path: Path) -> None:
    program = lifted(two_stage(tmp_path, cascade=True))
    clip = next(op for op in program.block.operations if op.name == "pd_op.clip")
    bound = program.maker(clip.inputs[1])
    assert bound is not None
    bound.set_attribute("value", double(1.0))
    result = SEPARATE(program)
    assert not result.modified
    assert "does not clip a column" in result.reason


def test_another_number_of_repeats_is_left_unchanged(tmp_path: Path) -> None:
    program = lifted(two_stage(tmp_path, cascade=True))
    repeat = next(op for op in program.block.operations if op.name == "pd_op.expand")
    count, _ = listed(program, made_by(program, repeat.inputs[1], "stack").inputs[0], 2)
    start = program.maker(made_by(program, count, "slice").inputs[1])
    assert start is not None
    start.set_attribute("value", integers([1]))
    result = SEPARATE(program)
    assert not result.modified
    assert "does not repeat the size" in result.reason


def test_another_first_row_is_left_unchanged(tmp_path: Path) -> None:
    program = lifted(two_stage(tmp_path, cascade=True))
    first = first_image(program)[0]
    first.set_input(0, program.inputs["image"].outputs[0])
    program.touch()
    result = SEPARATE(program)
    assert not result.modified
    assert "other than the size" in result.reason
