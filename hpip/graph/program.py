# SPDX-License-Identifier: Apache-2.0
"""Reads, edits and writes programs of Paddle 3 (`inference.json`) without importing Paddle.

Reading and writing back changes nothing but white space.
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

# Format 0 is of development builds; 1 of Paddle 3.0, 3 of 3.2, 4 of 3.3.
KNOWN_VERSIONS = range(5)


class Program:
    """A program (network graph): nested operations, with an index of each value's uses.

    Edit through the methods of this class, which update the index of makers and readers.
    """

    def __init__(self, document: Json) -> None:
        """Wrap a parsed `inference.json`, without the format check of `read`."""
        self._document = document
        try:
            regions = [Region(region) for region in document["program"]["regions"]]
            (self.block,) = regions[0].blocks
            (self._region,) = regions
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelFormatError(
                "the program has no main block: expected program.regions[0].blocks[0].ops. The "
                "file is damaged or of a later format; export the model again."
            ) from error

    @classmethod
    def read(cls, path: Path) -> Program:
        """Read `inference.json`.

        Raises:
            ModelFormatError: the file is missing, truncated, not PIR, or of an unsupported version.
        """
        try:
            document = json.loads(path.read_bytes())
        except OSError as error:
            raise ModelFormatError(f"cannot read the program {path}: {error}") from error
        except ValueError as error:
            raise ModelFormatError(
                f"{path} is damaged: expected JSON, received {error}. Copy or export it again."
            ) from error
        _check_header(document, path)
        return cls(document)

    def copy(self) -> Program:
        """A deep copy."""
        return Program(json.loads(self.to_bytes()))

    def with_operations(self, operations: Iterable[Operation]) -> Program:
        """A program of the same format with these operations in its main block.

        The operations are shared with this program: edit neither program afterwards.
        """
        block = {**self.block.raw, "ops": [op.to_json() for op in operations]}
        (region,) = self._document["program"]["regions"]
        regions = [{**region, "blocks": [block]}]
        program = {**self._document["program"], "regions": regions}
        return Program({**self._document, "program": program})

    def to_json(self) -> Json:
        """The document in Paddle's JSON form."""
        program = {**self._document["program"], "regions": [self._region.to_json()]}
        return {**self._document, "program": program}

    def to_bytes(self) -> bytes:
        """Content of `inference.json`, without white space like Paddle's."""
        text = json.dumps(self.to_json(), separators=(",", ":"), ensure_ascii=False)
        return text.encode()

    def write(self, path: Path) -> None:
        """Write `inference.json`."""
        path.write_bytes(self.to_bytes())

    @property
    def version(self) -> int:
        """Version of the file format."""
        return int(self._document["base_code"]["version"])

    def walk(self) -> Iterator[Operation]:
        """All operations, including nested ones, in order of execution."""
        return self.block.walk()

    @property
    def inputs(self) -> dict[str, Operation]:
        """The operations that declare inputs, by name, in order of declaration."""
        return {op.attribute("name"): op for op in self.block.operations if op.name == INPUT}

    @property
    def outputs(self) -> list[Operation]:
        """The fetch operations of the outputs, in order of the outputs."""
        fetches = [op for op in self.block.operations if op.name == OUTPUT]
        return sorted(fetches, key=lambda op: int(op.attribute("col")))

    @property
    def parameters(self) -> dict[str, Operation]:
        """The operations that declare parameters, by name, in order of declaration."""
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
        """The operation whose result `value` is; None for block arguments and `NO_VALUE`."""
        return self._makers.get(value)

    def readers(self, value: int) -> list[Operation]:
        """The operations that read `value`, including nested ones, in order."""
        return list(self._readers.get(value, ()))

    def type_of(self, value: int) -> TensorType | None:
        """Type of a value; None unless it is a dense tensor."""
        return self._types.get(value)

    def new_value(self) -> int:
        """An unused value, for a new result."""
        self._last_value = max(self._last_value, *self._makers, 0) + 1
        return self._last_value

    _last_value = 0

    def insert(self, anchor: Operation, operations: Iterable[Operation], *, after: bool) -> None:
        """Insert operations before or after `anchor`, in its block."""
        block = _block_of(anchor)
        index = block.operations.index(anchor) + after
        new = list(operations)
        for op in new:
            op.parent = block
        block.operations[index:index] = new
        self.touch()

    def append(self, operations: Iterable[Operation]) -> None:
        """Append operations to the main block."""
        for op in operations:
            op.parent = self.block
            self.block.operations.append(op)
        self.touch()

    def remove(self, operations: Iterable[Operation]) -> None:
        """Remove operations; those that read their results must be removed or changed too."""
        doomed = {id(op) for op in operations}
        blocks = [self.block]
        for op in self.walk():
            blocks.extend(block for region in op.regions for block in region.blocks)
        for block in blocks:
            block.operations = [op for op in block.operations if id(op) not in doomed]
        self.touch()

    def replace_value(self, old: int, new: int) -> int:
        """Replace a value in all operands; returns the number of changed operands."""
        changed = 0
        for op in self.readers(old):
            for index, value in enumerate(op.inputs):
                if value == old:
                    op.set_input(index, new)
                    changed += 1
        self.touch()
        return changed

    def touch(self) -> None:
        """Invalidate the index of values, after an edit without the methods of this class."""
        for name in ("_makers", "_readers", "_types"):
            self.__dict__.pop(name, None)

    def check(self) -> None:
        """Raise ModelFormatError unless each operand is defined before its use.

        Paddle would crash on an undefined operand instead of raising an error.
        """
        _check_block(self.block, {NO_VALUE})


def _check_block(block: Block, visible: set[int]) -> None:
    visible = visible | set(block.arguments)
    for op in block.operations:
        if missing := set(op.inputs) - visible:
            raise ModelFormatError(
                f"the program is inconsistent: {op} reads the values {sorted(missing)} before they "
                "are defined. Export the model again."
            )
        for region in op.regions:
            for inner in region.blocks:
                _check_block(inner, visible)
        visible.update(op.outputs)


def _block_of(op: Operation) -> Block:
    if op.parent is None:
        raise ValueError(f"{op} does not belong to a block")
    return op.parent


def _check_header(document: Any, path: Path) -> None:
    base = document.get("base_code") if isinstance(document, dict) else None
    header = base if isinstance(base, dict) else {}
    if header.get("magic") != "pir":
        raise ModelFormatError(
            f"{path} is not a program of Paddle 3: expected base_code.magic 'pir', received "
            f"{header.get('magic')!r}. Export the model with Paddle 3."
        )
    version = header.get("version")
    if version not in KNOWN_VERSIONS:
        raise ModelFormatError(
            f"{path} has format {version!r}; hpip supports {KNOWN_VERSIONS.start} to "
            f"{KNOWN_VERSIONS.stop - 1} (Paddle 3.0 to 3.3). Export the model with one of these "
            "versions, or update hpip."
        )
