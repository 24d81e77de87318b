# SPDX-License-Identifier: Apache-2.0
"""A split program gives the answers of the whole one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpip.backends.base import Session
from hpip.errors import BackendError
from hpip.graph.passes.add_score_threshold import SCORE_THRESHOLD, AddScoreThresholdPass
from hpip.graph.passes.base import NoMatchError, Sequential
from hpip.graph.passes.cut_coefficient_masks import CutCoefficientMasksPass
from hpip.graph.program import Program
from hpip.graph.split import split
from hpip.inference.execution.plan_session import PlanSession
from hpip.types import NativeStep, Segment

from .heads import coefficient_masks, feeds, image_masks
from .programs import run
from .splitting import (
    Array,
    assert_same,
    open_with_paddle,
    run_each,
    run_plan,
    split_folder,
)
from .two_stage import batch_feeds, two_stage


@pytest.fixture(scope="module", params=[1, 2], ids=["one level", "two levels"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_stage(tmp_path_factory.mktemp("two-stage"), levels=request.param)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_parts_give_the_answer_of_the_whole(exported: Path, seed: int) -> None:
    inputs = batch_feeds(1, seed)
    wanted = run(exported / "inference.json", exported / "inference.pdiparams", inputs)
    found = run_plan(exported, split_folder(exported), inputs)
    assert wanted[1].sum() > 3
    assert_same(found, wanted)


def test_a_batch_gives_the_answers_of_its_images(exported: Path) -> None:
    """The whole program fails where images have different numbers of boxes (array_to_tensor)."""
    inputs = batch_feeds(3)
    assert_same(run_plan(exported, split_folder(exported), inputs), run_each(exported, inputs))


def test_the_parts_are_straight_and_dense(exported: Path) -> None:
    plan = split_folder(exported)
    kinds = [step.kind if isinstance(step, NativeStep) else step.name for step in plan]
    assert kinds[0] == "trunk"
    assert kinds[1] == "generate_proposals"
    assert sorted(kinds[2:4]) == ["repeat_rows", "roi_align"]
    assert kinds[4:] == ["head 1", "multiclass_nms", "roi_align", "head 2"]
    detection = ("generate_proposals", "roi_align", "nms", "distribute", "array", "while", "if")
    for step in plan:
        if isinstance(step, Segment):
            program = Program.read(step.files.program)
            names = [op.name.removeprefix("pd_op.") for op in program.walk()]
            assert not [name for name in names if name.startswith(detection)]
            assert tuple(program.inputs) == step.inputs
            assert list(program.parameters) == list(
                Program.read(exported / "inference.json").parameters
            )


def test_no_boxes_run_no_head(exported: Path) -> None:
    """The mask head sees no rows, and the engine is not asked."""
    plan = list(split_folder(exported))
    (index,) = [
        i
        for i, step in enumerate(plan)
        if isinstance(step, NativeStep) and step.kind == "multiclass_nms"
    ]
    nms = plan[index]
    assert isinstance(nms, NativeStep)
    strict = NativeStep(
        nms.kind, {**nms.attributes, "score_threshold": 2.0}, nms.inputs, nms.outputs
    )
    plan[index] = strict
    rows, counts, masks = run_plan(exported, tuple(plan), batch_feeds(2))
    assert rows.shape == (0, 6)
    assert counts.tolist() == [0, 0]
    assert (masks.shape, masks.dtype) == ((0, 6, 6), np.float32)


class Counting(Session):
    """Notes how many rows each run gets."""

    def __init__(self, inner: Session, rows: str, seen: list[int]) -> None:
        super().__init__(inner.input_names, inner.output_names)
        self._inner, self._rows, self._seen = inner, rows, seen

    def _run(self, inputs: Mapping[str, Array]) -> list[Array]:
        self._seen.append(len(inputs[self._rows]))
        return self._inner.run(inputs)

    def _close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("max_rows", [1, 3, 1000])
def test_heads_run_on_some_boxes_at_a_time(exported: Path, max_rows: int) -> None:
    inputs, seen = batch_feeds(2), {"head 1": [], "head 2": []}
    steps = split_folder(exported)
    heads = [step for step in steps if isinstance(step, Segment) and step.rows]
    assert [head.name for head in heads] == list(seen)
    assert all(head.rows in head.row_inputs and head.max_rows > 0 for head in heads)
    wanted = run_plan(exported, steps, inputs)
    limited = tuple(replace(step, max_rows=max_rows) if step in heads else step for step in steps)

    def open_segment(segment: Segment) -> Session:
        session = open_with_paddle(segment)
        if segment.name not in seen:
            return session
        return Counting(session, segment.rows, seen[segment.name])

    outputs = [op.attribute("name") for op in Program.read(exported / "inference.json").outputs]
    session = PlanSession(limited, outputs, open_segment, threads=1)
    found = session.run({name: inputs[name] for name in session.input_names})
    session.close()
    assert_same(found, wanted)
    assert sum(seen["head 2"]) == len(wanted[0])
    for counts in seen.values():
        assert max(counts) <= max_rows
        assert len(counts) == -(-sum(counts) // max_rows)
        assert max(counts) - min(counts) <= 1


class WrongEngine(Session):
    """Runs a segment and returns NaN for all that is float."""

    def __init__(self, inner: Session) -> None:
        super().__init__(inner.input_names, inner.output_names)
        self._inner = inner

    def _run(self, inputs: Mapping[str, Array]) -> list[Array]:
        return [array * np.float32("nan") for array in self._inner.run(inputs)]

    def _close(self) -> None:
        self._inner.close()


def test_an_engine_that_returns_nonsense_is_an_error(exported: Path) -> None:
    steps = split_folder(exported)
    session = PlanSession(
        steps, ["out"], lambda segment: WrongEngine(open_with_paddle(segment)), threads=1
    )
    with pytest.raises(BackendError, match="generate_proposals"):
        session.run(batch_feeds(1))
    session.close()


def test_a_segment_that_does_not_open_closes_the_others(exported: Path) -> None:
    opened = []

    def open_segment(segment: Segment) -> Session:
        if segment.name == "head 1":
            raise BackendError("test", "open", "no")
        opened.append(open_with_paddle(segment))
        return opened[-1]

    with pytest.raises(BackendError, match="no"):
        PlanSession(split_folder(exported), ["out"], open_segment, threads=1)
    with pytest.raises(BackendError, match="closed"):
        opened[0].run({})


def test_a_one_stage_program_leaves_suppression_and_its_rows_behind(tmp_path: Path) -> None:
    folder = coefficient_masks(tmp_path)
    program = Program.read(folder / "inference.json")
    Sequential([CutCoefficientMasksPass(), AddScoreThresholdPass()])(program)
    program.write(folder / "inference.json")
    plan = split_folder(folder)
    kinds = [step.kind if isinstance(step, NativeStep) else step.name for step in plan]
    assert kinds == ["trunk", "multiclass_nms", "gather_rows"]
    for seed, threshold in enumerate((0.0, 0.5, 2.0)):
        inputs = feeds((48, 40), seed) | {SCORE_THRESHOLD: np.array([threshold], np.float32)}
        wanted = run(folder / "inference.json", folder / "inference.pdiparams", inputs)
        found = run_plan(folder, plan, inputs)
        for mine, theirs in zip(found, wanted, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-6)


def test_a_program_without_suppression_stays_whole(tmp_path: Path) -> None:
    program = Program.read(image_masks(tmp_path) / "inference.json")
    with pytest.raises(NoMatchError, match="one segment"):
        split(program)


def test_proposals_with_variances_stay(tmp_path: Path) -> None:
    program = Program.read(two_stage(tmp_path, variance=0.5) / "inference.json")
    with pytest.raises(NoMatchError, match="variances"):
        split(program)
