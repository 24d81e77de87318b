# SPDX-License-Identifier: Apache-2.0
"""Splits a program and runs the parts, each with Paddle, as a predictor would."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hpip.backends.base import Session, SessionOptions
from hpip.backends.paddle import PaddleBackend
from hpip.common.devices import Device
from hpip.graph.parts import DensePart, part_to_json, plan_from_json
from hpip.graph.program import Program
from hpip.graph.split import split
from hpip.inference.execution.plan_session import PlanSession
from hpip.types import PlanStep, Segment
from tests.graph.programs import run

Array = np.ndarray[Any, Any]


def split_folder(folder: Path) -> tuple[PlanStep, ...]:
    """Split `inference.json` and write the segments' programs beside it."""
    parts = split(Program.read(folder / "inference.json"))
    for part in parts:
        if isinstance(part, DensePart):
            part.program.write(folder / part.file_name)
    records = [part_to_json(part) for part in parts]
    return plan_from_json(records, folder, folder / "inference.pdiparams")


def open_with_paddle(segment: Segment) -> Session:
    return PaddleBackend().open(segment.files, SessionOptions(Device("cpu"), threads=1))


def run_plan(folder: Path, plan: tuple[PlanStep, ...], inputs: Mapping[str, Array]) -> list[Array]:
    program = Program.read(folder / "inference.json")
    outputs = [op.attribute("name") for op in program.outputs]
    session = PlanSession(plan, outputs, open_with_paddle, threads=1)
    try:
        return session.run({name: inputs[name] for name in session.input_names})
    finally:
        session.close()


def run_each(folder: Path, inputs: Mapping[str, Array]) -> list[Array]:
    """Run the whole program on one image after another; the outputs of all, concatenated."""
    images = len(next(iter(inputs.values())))
    singles = [
        run(
            folder / "inference.json",
            folder / "inference.pdiparams",
            {name: array[i : i + 1] for name, array in inputs.items()},
        )
        for i in range(images)
    ]
    return [np.concatenate(outputs) for outputs in zip(*singles, strict=True)]


def assert_same(found: list[Array], wanted: list[Array]) -> None:
    """Boxes, counts and masks of a split program are those of the whole one."""
    np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found[2], wanted[2], atol=1e-5)
