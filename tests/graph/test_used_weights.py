# SPDX-License-Identifier: Apache-2.0
"""Segments are opened with their own weights only, and give the same answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpip.backends.base import Session, SessionOptions
from hpip.backends.paddle import PaddleBackend
from hpip.common.devices import Device
from hpip.graph.program import Program
from hpip.graph.used_weights import used_weights
from hpip.inference.execution.plan_session import PlanSession
from hpip.types import ModelFiles, PlanStep, Segment

from .splitting import run_plan, split_folder
from .two_stage import batch_feeds, two_stage


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_stage(tmp_path_factory.mktemp("two-stage"))


@pytest.fixture(scope="module")
def plan(folder: Path) -> tuple[PlanStep, ...]:
    return split_folder(folder)


def test_a_head_keeps_what_it_reads(plan: tuple[PlanStep, ...]) -> None:
    head = next(step for step in plan if isinstance(step, Segment) and step.name == "head 2")
    with used_weights(head.files) as files:
        program = Program.read(files.program)
        assert files.params.stat().st_size < head.files.params.stat().st_size / 2
        assert program.parameters
        for op in program.parameters.values():
            assert program.readers(op.outputs[0])
    assert not files.params.exists()


def test_answers_do_not_change(folder: Path, plan: tuple[PlanStep, ...]) -> None:
    def open_slim(segment: Segment) -> Session:
        with used_weights(segment.files) as files:
            return PaddleBackend().open(files, SessionOptions(Device("cpu"), threads=1))

    inputs = batch_feeds(2)
    outputs = [op.attribute("name") for op in Program.read(folder / "inference.json").outputs]
    session = PlanSession(plan, outputs, open_slim, threads=1)
    found = session.run(inputs)
    session.close()
    for ours, theirs in zip(found, run_plan(folder, plan, inputs), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_program_that_reads_most_weights_stays_where_it_is(folder: Path) -> None:
    files = ModelFiles(folder / "inference.json", folder / "inference.pdiparams")
    with used_weights(files) as chosen:
        assert chosen == files


def test_a_full_disk_costs_memory_only(
    plan: tuple[PlanStep, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setattr("tempfile.tempdir", str(blocked))
    head = next(step for step in plan if isinstance(step, Segment) and step.name == "head 2")
    with used_weights(head.files) as files:
        assert files == head.files
