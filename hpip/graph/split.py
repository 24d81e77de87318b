# SPDX-License-Identifier: Apache-2.0
"""Splits a program into segments for engines, at the operators that hpip runs natively.

Segments have no control flow and no detection operators: any engine can run them, and they can be
exported to ONNX.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from hpip.errors import GraphRewriteError
from hpip.graph.builder import make_input, make_output
from hpip.graph.native_ops import is_native, native_attributes, native_kind
from hpip.graph.operation import NO_VALUE, PARAMETER, Operation, TensorType
from hpip.graph.parts import DensePart, Part
from hpip.graph.passes.add_score_threshold import SCORE_THRESHOLD
from hpip.graph.passes.base import NoMatchError, Sequential
from hpip.graph.passes.inline_empty_branch import InlineEmptyBranchPass
from hpip.graph.passes.lift_nms import LiftNmsPass
from hpip.graph.passes.lift_proposals import LiftProposalsPass
from hpip.graph.passes.lift_roi_align import LiftRoiAlignPass
from hpip.graph.passes.lift_row_gathers import LiftRowGathersPass
from hpip.graph.passes.lift_row_repeats import LiftRowRepeatsPass
from hpip.graph.passes.separate_images import SeparateImagesPass
from hpip.graph.program import INPUT, OUTPUT, Program
from hpip.types import NativeStep, TensorSpec

LIFTS = (
    InlineEmptyBranchPass(),
    LiftProposalsPass(),
    LiftRowRepeatsPass(),
    LiftRoiAlignPass(),
    SeparateImagesPass(),
    LiftNmsPass(),
    LiftRowGathersPass(),
)

# Paddle's short type name -> its long one, which is NumPy's too.
_LONG_NAMES = {
    "f32": "float32",
    "f64": "float64",
    "i32": "int32",
    "i64": "int64",
    "bool": "bool",
    "ui8": "uint8",
}
_IMAGE_RANK = 4
# The region features of MaskRCNN-ResNet50 (C4) take 0.8 GB for 1000 boxes, and its box head makes
# several arrays of half that size. In runs of 79 boxes these take megabytes and fit the CPU caches
# better.
_MAX_ROW_BYTES = 64_000_000


def split(program: Program) -> tuple[Part, ...]:
    """Split a truncated graph; the given program is modified and must not be used afterwards.

    Raises:
        NoMatchError: control flow remains, or there is nothing to split; the reason says which.
        GraphRewriteError: a pass produced an invalid program.
    """
    result = Sequential(LIFTS)(program)
    natives = [op for op in program.block.operations if is_native(op)]
    left = [op for op in program.block.operations if op.regions]
    if not natives:
        raise NoMatchError("one segment: the program has no region pooling and no NMS")
    if left:
        reasons = "; ".join(f"{name}: {step.reason}" for name, step in result.steps)
        raise NoMatchError(f"one segment: {left} can't be split ({reasons})")
    try:
        return _Splitter(program).parts()
    except (KeyError, ValueError, TypeError) as error:
        raise GraphRewriteError("split", f"failed with {type(error).__name__}: {error}") from error


class _Splitter:
    """Assigns operations to phases: even phases are segments, odd ones native steps.

    An operation belongs to the earliest phase in which its operands are available, or, if it has no
    weights, to the earliest phase that reads its result. Constants, weights, and values that depend
    only on them and on the small inputs (sizes, threshold) belong to no phase: each segment that
    reads them computes them itself.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._phases: dict[int, int | None] = {NO_VALUE: None}
        work = [op for op in program.block.operations if op.name != OUTPUT]
        for op in work:
            if is_native(op):
                self._hand_over_constants(op)
            self._phases.update(dict.fromkeys(op.outputs, self._earliest_phase(op)))
        for op in reversed(work):
            self._phases.update(dict.fromkeys(op.outputs, self._latest_phase(op)))
        self._by_phase: dict[int, list[Operation]] = {}
        for op in work:
            if op.name != INPUT and op.outputs and (phase := self._phase_of(op)) is not None:
                self._by_phase.setdefault(phase, []).append(op)
        self._names = {op.inputs[0]: op.attribute("name") for op in program.outputs}
        self._names |= {op.outputs[0]: name for name, op in program.inputs.items()}

    def parts(self) -> tuple[Part, ...]:
        """All parts in order of execution."""
        parts: list[Part] = []
        for phase in sorted(self._by_phase):
            if phase % 2:
                parts += [self._native(op) for op in self._by_phase[phase]]
            else:
                parts.append(self._dense(phase))
        return tuple(parts)

    def _phase_of(self, op: Operation) -> int | None:
        return self._phases[op.outputs[0]]

    def _earliest_phase(self, op: Operation) -> int | None:
        if op.name == INPUT:
            kind = op.output_types[0]
            return 0 if kind is not None and len(kind.shape) == _IMAGE_RANK else None
        read = [phase for value in op.inputs if (phase := self._phases[value]) is not None]
        if is_native(op):
            latest = max(read, default=0)
            return latest + 1 - latest % 2
        if not read:
            return None
        return max(read) + max(read) % 2

    def _hand_over_constants(self, native: Operation) -> None:
        """Assign constants that a native step reads to the trunk, such as anchors."""
        for value in native.inputs:
            maker = self._program.maker(value)
            if self._phases[value] is None and maker is not None and maker.name != INPUT:
                if maker.name == PARAMETER:
                    raise NoMatchError(f"{native} reads a weight, which no segment returns")
                self._phases.update(dict.fromkeys(maker.outputs, 0))

    def _latest_phase(self, op: Operation) -> int | None:
        """The phase of the first reader, to pass fewer values between segments."""
        phase = self._phase_of(op)
        makers = [self._program.maker(value) for value in op.inputs]
        readers = [other for value in op.outputs for other in self._program.readers(value)]
        if (
            phase is None
            or phase % 2
            or not readers
            or op.name == INPUT
            or any(maker is not None and maker.name == PARAMETER for maker in makers)
            or any(reader.name == OUTPUT for reader in readers)
        ):
            return phase
        phases = [self._phase_of(reader) or 0 for reader in readers]
        return max(phase, min(read - read % 2 for read in phases))

    def _name(self, value: int) -> str:
        return str(self._names.setdefault(value, f"value_{value}"))

    def _native(self, op: Operation) -> NativeStep:
        return NativeStep(
            native_kind(op),  # type: ignore[arg-type]
            native_attributes(op),
            tuple(self._name(value) for value in op.inputs),
            tuple(self._name(value) for value in op.outputs),
        )

    def _dense(self, phase: int) -> DensePart:
        program, own = self._program, self._by_phase[phase]
        made = {value for op in own for value in op.outputs}
        read = {value for op in own for value in op.inputs}
        free = self._free_operations(read - made)
        made |= {value for op in free for value in op.outputs}
        fed = sorted(({value for op in (*own, *free) for value in op.inputs} | read) - made)
        weights = list(program.parameters.values())
        present = {NO_VALUE, *(value for op in weights for value in op.outputs)}
        feeds = [self._feed(value) for value in fed if value not in present]
        chosen = {id(op) for op in (*own, *free)}
        body = [op for op in program.block.operations if id(op) in chosen]
        outputs = [value for op in own for value in op.outputs if self._leaves(value, phase)]
        fetches = [
            make_output(program, self._name(value), value, column)
            for column, value in enumerate(outputs)
        ]
        part = program.with_operations([*weights, *feeds, *body, *fetches])
        part.check()
        number = sum(1 for other in self._by_phase if other % 2 == 0 and other < phase)
        name = "trunk" if number == 0 else f"head {number}"
        rows = self._rows_input(fed)
        empty = self._empty_outputs(outputs) if rows else ()
        row_inputs = self._row_inputs(value for value in fed if value not in present)
        if not empty or not row_inputs:
            return DensePart(name, part, rows if empty else "", empty)
        return DensePart(name, part, rows, empty, row_inputs, _max_rows(part.inputs[rows]))

    def _free_operations(self, wanted: Iterable[int]) -> list[Operation]:
        """Operations without a phase that the wanted values depend on."""
        found: dict[int, Operation] = {}
        pending = [value for value in wanted if self._phases[value] is None]
        while pending:
            op = self._program.maker(pending.pop())
            if op is None or op.name in (PARAMETER, INPUT) or id(op) in found:
                continue
            found[id(op)] = op
            pending += op.inputs
        return list(found.values())

    def _feed(self, value: int) -> Operation:
        """An input of a segment for a value of another phase, with the same value number."""
        maker = self._program.maker(value)
        if maker is not None and maker.name == INPUT:
            return maker
        kind = self._type(value)
        feed = make_input(
            self._program, self._name(value), kind.dtype, _LONG_NAMES[kind.dtype], kind.shape
        )
        feed.raw["O"][0]["%"] = value
        return feed

    def _type(self, value: int) -> TensorType:
        kind = self._program.type_of(value)
        if kind is None or kind.dtype not in _LONG_NAMES:
            raise ValueError(f"value {value} has a type that can't be passed between segments")
        return kind

    def _leaves(self, value: int, phase: int) -> bool:
        """Whether a value is an output, or another phase reads it."""
        return any(
            op.name == OUTPUT or self._phase_of(op) != phase for op in self._program.readers(value)
        )

    def _rows_input(self, fed: Iterable[int]) -> str:
        """The input with one row per box: the result of region pooling; empty if none is."""
        for value in fed:
            maker = self._program.maker(value)
            if maker is not None and is_native(maker) and native_kind(maker) == "roi_align":
                return self._name(value)
        return ""

    def _row_inputs(self, fed: Iterable[int]) -> tuple[str, ...]:
        """Inputs with one row per box: the results of native steps.

        Empty if an input comes from another segment, whose rows may be anything, or is an input of
        the program with one row per image.
        """
        found = []
        for value in fed:
            maker = self._program.maker(value)
            if maker is not None and is_native(maker) and maker.outputs.index(value) == 0:
                found.append(self._name(value))
            elif maker is None or maker.name != INPUT or self._name(value) != SCORE_THRESHOLD:
                return ()
        return tuple(found)

    def _empty_outputs(self, outputs: Iterable[int]) -> tuple[TensorSpec, ...]:
        """The outputs for zero boxes if each has one row per box; else empty."""
        kinds = [self._type(value) for value in outputs]
        if any(kind.shape[:1] != (-1,) or -1 in kind.shape[1:] for kind in kinds):
            return ()
        return tuple(TensorSpec(_LONG_NAMES[kind.dtype], (0, *kind.shape[1:])) for kind in kinds)


def _max_rows(rows: Operation) -> int:
    """Maximum number of boxes per run of a segment, by the size of a box's features."""
    kind = rows.output_types[0]
    assert kind is not None
    return max(1, _MAX_ROW_BYTES // (4 * math.prod(abs(length) for length in kind.shape[1:])))
