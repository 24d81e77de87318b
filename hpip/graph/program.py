# SPDX-License-Identifier: Apache-2.0
"""A program as Paddle 3 exports it (`inference.json`), read, searched, edited and written.

Paddle is not imported. Reading and writing back changes nothing but white space.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from hpip.errors import ModelFormatError
from hpip.graph.operation import NO_VALUE, PARAMETER, Block, Json, Operation, Region, TensorType

INPUT = "pd_op.data"
OUTPUT = "pd_op.fetch"

# 0 is a development build's; 1 is written by Paddle 3.0, 3 by 3.2, 4 by 3.3.
KNOWN_VERSIONS = range(5)


class Program:
    """One program: nested regions of operations, and who makes and who reads each value.

    Edit through the methods of this class: they keep the index of makers and readers right.
    """

    def __init__(self, document: Json) -> None:
        """Take over a parsed `inference.json`; `read` checks it first."""
        self._document = document
        try:
            regions = [Region(region) for region in document["program"]["regions"]]
            (self.block,) = regions[0].blocks
            (self._region,) = regions
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelFormatError(
                "the program has no single main block: expected program.regions[0].blocks[0].ops. "
                "The file is damaged or of a later format; export the model again."
            ) from error

    @classmethod
    def read(cls, path: Path) -> Program:
        """Read `inference.json`.

        Raises:
            ModelFormatError: missing, truncated, not PIR, or of a version that is not known here.
        """
        try:
            document = json.loads(path.read_bytes())
        except OSError as error:
            raise ModelFormatError(f"cannot read the program {path}: {error}") from error
        except ValueError as error:
            raise ModelFormatError(
                f"{path} is not whole: expected JSON, found {error}. Copy or export it again."
            ) from error
        _check_header(document, path)
        return cls(document)

    def copy(self) -> Program:
        """A program of its own, which may be edited apart from this one."""
        return Program(json.loads(self.to_bytes()))

    def with_operations(self, operations: Iterable[Operation]) -> Program:
        """A program of the same format with these operations in its main block.

        They are shared with this program: edit neither afterwards.
        """
        block = {**self.block.raw, "ops": [op.to_json() for op in operations]}
        (region,) = self._document["program"]["regions"]
        regions = [{**region, "blocks": [block]}]
        program = {**self._document["program"], "regions": regions}
        return Program({**self._document, "program": program})

    def to_json(self) -> Json:
        """The document that Paddle loads."""
        program = {**self._document["program"], "regions": [self._region.to_json()]}
        return {**self._document, "program": program}

    def to_bytes(self) -> bytes:
        """The file that Paddle loads, without needless white space, as Paddle writes it."""
        text = json.dumps(self.to_json(), separators=(",", ":"), ensure_ascii=False)
        return text.encode()

    def write(self, path: Path) -> None:
        """Write `inference.json`."""
        path.write_bytes(self.to_bytes())

    @property
    def version(self) -> int:
        """Number of the file format."""
        return int(self._document["base_code"]["version"])

    def walk(self) -> Iterator[Operation]:
        """All operations, those of nested regions included, in order of execution."""
        return self.block.walk()

    @property
    def inputs(self) -> dict[str, Operation]:
        """What the caller feeds, by name, in order of declaration."""
        return {op.attribute("name"): op for op in self.block.operations if op.name == INPUT}

    @property
    def outputs(self) -> list[Operation]:
        """What the caller gets: the fetch operations by column."""
        fetches = [op for op in self.block.operations if op.name == OUTPUT]
        return sorted(fetches, key=lambda op: int(op.attribute("col")))

    @property
    def parameters(self) -> dict[str, Operation]:
        """The weights that the program reads, by name, in order of declaration."""
        return {op.parameter_name: op for op in self.block.operations if op.name == PARAMETER}

    @cached_property
    def _makers(self) -> dict[int, Operation]:
        return {value: op for op in self.walk() for value in op.outputs}

    @cached_property
    def _readers(self) -> dict[int, list[Operation]]:
        readers: dict[int, list[Operation]] = {}
        for op in self.walk():
            for value in dict.fromkeys(op.inputs):
                readers.setdefault(value, []).append(op)
        return readers

    @cached_property
    def _types(self) -> dict[int, TensorType | None]:
        types: dict[int, TensorType | None] = {}
        for op in self.walk():
            types.update(zip(op.outputs, op.output_types, strict=True))
            for region in op.regions:
                for block in region.blocks:
                    types.update(block.argument_types)
        return types

    def maker(self, value: int) -> Operation | None:
        """Operation that makes `value`; None for a block's argument and for `NO_VALUE`."""
        return self._makers.get(value)

    def readers(self, value: int) -> list[Operation]:
        """Operations that read `value`, nested ones included, in order."""
        return list(self._readers.get(value, ()))

    def type_of(self, value: int) -> TensorType | None:
        """Type of a value, None when it is no dense tensor."""
        return self._types.get(value)

    def new_value(self) -> int:
        """A number for a result that no operation has yet."""
        self._last_value = max(self._last_value, *self._makers, 0) + 1
        return self._last_value

    _last_value = 0

    def insert(self, anchor: Operation, operations: Iterable[Operation], *, after: bool) -> None:
        """Put operations before or after `anchor`, in its block."""
        block = _block_of(anchor)
        index = block.operations.index(anchor) + after
        new = list(operations)
        for op in new:
            op.parent = block
        block.operations[index:index] = new
        self.touch()

    def append(self, operations: Iterable[Operation]) -> None:
        """Put operations at the end of the main block."""
        for op in operations:
            op.parent = self.block
            self.block.operations.append(op)
        self.touch()

    def remove(self, operations: Iterable[Operation]) -> None:
        """Take operations out; what reads their results must go or be redirected too."""
        doomed = {id(op) for op in operations}
        blocks = [self.block]
        for op in self.walk():
            blocks.extend(block for region in op.regions for block in region.blocks)
        for block in blocks:
            block.operations = [op for op in block.operations if id(op) not in doomed]
        self.touch()

    def replace_value(self, old: int, new: int) -> int:
        """Let everything that reads `old` read `new`; returns how many operands changed."""
        changed = 0
        for op in self.readers(old):
            for index, value in enumerate(op.inputs):
                if value == old:
                    op.set_input(index, new)
                    changed += 1
        self.touch()
        return changed

    def touch(self) -> None:
        """Forget the index of makers and readers after an edit made behind its back."""
        for name in ("_makers", "_readers", "_types"):
            self.__dict__.pop(name, None)

    def check(self) -> None:
        """Raise ModelFormatError unless each operand is made before it is read, where it is seen.

        A pass that leaves a value without a maker would crash Paddle instead of raising there.
        """
        _check_block(self.block, {NO_VALUE})


def _check_block(block: Block, visible: set[int]) -> None:
    visible = visible | set(block.arguments)
    for op in block.operations:
        if missing := set(op.inputs) - visible:
            raise ModelFormatError(
                f"the program is inconsistent: {op} reads {sorted(missing)}, which nothing before "
                "it makes. Export the model again."
            )
        for region in op.regions:
            for inner in region.blocks:
                _check_block(inner, visible)
        visible.update(op.outputs)


def _block_of(op: Operation) -> Block:
    if op.parent is None:
        raise ValueError(f"{op} is in no block")
    return op.parent


def _check_header(document: Any, path: Path) -> None:
    base = document.get("base_code") if isinstance(document, dict) else None
    header = base if isinstance(base, dict) else {}
    if header.get("magic") != "pir":
        raise ModelFormatError(
            f"{path} is not a program of Paddle 3: expected base_code.magic 'pir', found "
            f"{header.get('magic')!r}."
        )
    version = header.get("version")
    if version not in KNOWN_VERSIONS:
        raise ModelFormatError(
            f"{path} is written in format {version!r}; known here are {KNOWN_VERSIONS.start} to "
            f"{KNOWN_VERSIONS.stop - 1} (Paddle 3.0 to 3.3). Export it with one of these, or "
            "update hpip."
        )
