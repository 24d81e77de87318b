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
        return {
            "kind": part.kind,
            "attributes": dict(part.attributes),
            "inputs": part.inputs,
            "outputs": part.outputs,
        }
    return {
        "segment": part.name,
        "program": part.file_name,
        "inputs": list(part.program.inputs),
        "outputs": [op.attribute("name") for op in part.program.outputs],
        "rows": part.rows,
        "empty_outputs": [(spec.dtype, spec.shape) for spec in part.empty_outputs],
        "row_inputs": part.row_inputs,
        "max_rows": part.max_rows,
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
