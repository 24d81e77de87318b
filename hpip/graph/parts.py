# SPDX-License-Identifier: Apache-2.0
"""Plans in memory, before their programs are written, and their JSON form in the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from hpip.graph.program import Program
from hpip.types import ModelFiles, NativeStep, PlanStep, Segment, TensorSpec


@dataclass(frozen=True)
class DensePart:
    """A `Segment` whose program is in memory; see there."""

    name: str
    program: Program
    rows: str = ""
    empty_outputs: tuple[TensorSpec, ...] = ()
    row_inputs: tuple[str, ...] = ()
    max_rows: int = 0

    @property
    def file_name(self) -> str:
        """File name of the program in its cache entry."""
        return f"{self.name.replace(' ', '_')}.json"


Part: TypeAlias = DensePart | NativeStep


def part_to_json(part: Part) -> dict[str, Any]:
    """JSON form of a part, without its program; see `plan_from_json`."""
    if isinstance(part, NativeStep):
        return _native_to_json(part)
    outputs = [op.attribute("name") for op in part.program.outputs]
    return _segment_to_json(part, part.file_name, list(part.program.inputs), outputs)


def step_to_json(step: PlanStep, program: str) -> dict[str, Any]:
    """JSON form of a plan's step; see `plan_from_json`.

    Args:
        step: a segment or a native step.
        program: file name of a segment's program.
    """
    if isinstance(step, NativeStep):
        return _native_to_json(step)
    return _segment_to_json(step, program, list(step.inputs), list(step.outputs))


def _native_to_json(step: NativeStep) -> dict[str, Any]:
    return {
        "kind": step.kind,
        "attributes": dict(step.attributes),
        "inputs": step.inputs,
        "outputs": step.outputs,
    }


def _segment_to_json(
    segment: DensePart | Segment, program: str, inputs: list[str], outputs: list[str]
) -> dict[str, Any]:
    return {
        "segment": segment.name,
        "program": program,
        "inputs": inputs,
        "outputs": outputs,
        "rows": segment.rows,
        "empty_outputs": [(spec.dtype, spec.shape) for spec in segment.empty_outputs],
        "row_inputs": segment.row_inputs,
        "max_rows": segment.max_rows,
    }


def plan_from_json(
    records: Sequence[Mapping[str, Any]], folder: Path, params: Path
) -> tuple[PlanStep, ...]:
    """Load a plan whose programs are in `folder`.

    Raises:
        KeyError, TypeError, ValueError: the records have another version.
    """
    return tuple(_step(record, folder, params) for record in records)


def _step(record: Mapping[str, Any], folder: Path, params: Path) -> PlanStep:
    inputs, outputs = tuple(record["inputs"]), tuple(record["outputs"])
    if "kind" in record:
        return NativeStep(record["kind"], dict(record["attributes"]), inputs, outputs)
    return Segment(
        record["segment"],
        ModelFiles(folder / record["program"], params),
        inputs,
        outputs,
        record["rows"],
        tuple(TensorSpec(dtype, tuple(shape)) for dtype, shape in record["empty_outputs"]),
        tuple(record["row_inputs"]),
        record["max_rows"],
    )
