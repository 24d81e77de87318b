# SPDX-License-Identifier: Apache-2.0
"""Operations, blocks and regions of a PIR program, as thin views of Paddle's JSON.

A view reads and edits the JSON in place, so that whatever this module does not know (new
attributes, new types) survives reading and writing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from hpip.errors import ModelFormatError

Json: TypeAlias = dict[str, Any]

# Paddle abbreviates the names of dialects in the file (schema.cc). Test dialects are not supported.
_DIALECTS = {"0": "builtin", "1": "pd_op", "2": "cf", "3": "custom_op", "4": "dist"}
_CODES = {name: code for code, name in _DIALECTS.items()}

PARAMETER = "builtin.parameter"
# Parameters have a special form: name "p", attributes as a plain list.
_PARAMETER_CODE = "p"
_PARAMETER_NAME_INDEX = 3

# "I" of an optional operand that is absent.
NO_VALUE = 0


@dataclass(frozen=True)
class TensorType:
    """Static type of a value; -1 stands for a dynamic axis."""

    dtype: str
    shape: tuple[int, ...]


class Operation:
    """One operation: name, operands, results, attributes, and the regions of `if` and `while`.

    Values are integers: results of operations are positive, arguments of blocks negative, and 0
    (`NO_VALUE`) marks an optional operand that is absent.
    """

    def __init__(self, raw: Json, parent: Block | None = None) -> None:
        self.raw = raw
        self.parent = parent
        try:
            self.regions = [Region(region, self) for region in raw.get("regions", ())]
            self.name = expand_name(raw["#"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelFormatError(
                f"an operation of the program is damaged: {_shorten(raw)}; expected an object with "
                "'#', 'I', 'O' and 'A'. Export the model again."
            ) from error

    @property
    def inputs(self) -> tuple[int, ...]:
        """Operand values in order."""
        return tuple(operand["%"] for operand in self.raw.get("I", ()))

    def set_input(self, index: int, value: int) -> None:
        """Replace operand `index`. Call `Program.touch` afterwards."""
        self.raw["I"][index] = {**self.raw["I"][index], "%": value}

    @property
    def _results(self) -> Sequence[Json]:
        results: Json | list[Json] = self.raw["O"]
        return results if isinstance(results, list) else [results]

    @property
    def outputs(self) -> tuple[int, ...]:
        """Result values in order."""
        return tuple(result["%"] for result in self._results)

    @property
    def output_types(self) -> tuple[TensorType | None, ...]:
        """Type of each result; None unless it is a dense tensor (lists, tensor arrays)."""
        return tuple(parse_type(result.get("TT")) for result in self._results)

    def output_type_json(self, index: int) -> Json:
        """The type of result `index` as JSON."""
        found: Json = self._results[index]["TT"]
        return found

    def attribute(self, name: str) -> Any:
        """Value of an attribute as plain Python; raises KeyError if it does not exist."""
        for attribute in self._attributes():
            if attribute["N"] == name:
                return decode_attribute(attribute["AT"])
        raise KeyError(name)

    def has_attribute(self, name: str) -> bool:
        """Whether the operation has an attribute with this name."""
        return any(attribute["N"] == name for attribute in self._attributes())

    def set_attribute(self, name: str, typed: Json) -> None:
        """Replace or add an attribute; functions of `builder` create `typed`."""
        for attribute in self._attributes():
            if attribute["N"] == name:
                attribute["AT"] = typed
                return
        self.raw.setdefault("A", []).append({"AT": typed, "N": name})

    def _attributes(self) -> Sequence[Json]:
        return () if self.name == PARAMETER else self.raw.get("A", ())

    @property
    def parameter_name(self) -> str:
        """Name of the weight that this parameter operation declares."""
        if self.raw["#"] == _PARAMETER_CODE:
            return str(self.raw["A"][_PARAMETER_NAME_INDEX])
        raise KeyError("parameter_name")

    @property
    def writes_in_place(self) -> bool:
        """Whether the operation may modify its first operand in place.

        By Paddle's convention, its name ends in an underscore, like those of array operations.
        """
        return self.name.endswith("_")

    def walk(self) -> Iterator[Operation]:
        """This operation and all operations in its regions, outer ones first."""
        yield self
        for region in self.regions:
            for block in region.blocks:
                yield from block.walk()

    def to_json(self) -> Json:
        """The operation in Paddle's JSON form."""
        if not self.regions:
            return self.raw
        return {**self.raw, "regions": [region.to_json() for region in self.regions]}

    def __repr__(self) -> str:
        first = f" (value {self.outputs[0]})" if self.outputs else ""
        return self.name.removeprefix("pd_op.") + first


class Block:
    """A list of operations, and the arguments that a loop passes to it."""

    def __init__(self, raw: Json, owner: Operation | None = None) -> None:
        self.raw = raw
        self.owner = owner
        self.operations = [Operation(operation, self) for operation in raw["ops"]]

    @property
    def arguments(self) -> tuple[int, ...]:
        """Argument values of the block, keyword arguments last."""
        return tuple(argument["#"] for argument in self._argument_json())

    def _argument_json(self) -> Sequence[Json]:
        return [*self.raw.get("args", ()), *self.raw.get("kwargs", ())]

    @property
    def argument_types(self) -> Mapping[int, TensorType | None]:
        """Type of each argument."""
        return {argument["#"]: parse_type(argument.get("TT")) for argument in self._argument_json()}

    def walk(self) -> Iterator[Operation]:
        """All operations of the block and nested ones, in order."""
        for operation in self.operations:
            yield from operation.walk()

    def to_json(self) -> Json:
        """The block in Paddle's JSON form."""
        return {**self.raw, "ops": [operation.to_json() for operation in self.operations]}


class Region:
    """A region of an `if` or `while`, with one block in Paddle's programs."""

    def __init__(self, raw: Json, owner: Operation | None = None) -> None:
        self.raw = raw
        self.blocks = [Block(block, owner) for block in raw["blocks"]]

    def to_json(self) -> Json:
        """The region in Paddle's JSON form."""
        return {**self.raw, "blocks": [block.to_json() for block in self.blocks]}


def expand_name(code: str) -> str:
    """Full name from the abbreviated one in the file: "1.add" -> "pd_op.add"."""
    if code == _PARAMETER_CODE:
        return PARAMETER
    dialect, _, name = code.partition(".")
    return f"{_DIALECTS.get(dialect, dialect)}.{name}"


def shorten_name(name: str) -> str:
    """Abbreviated name for the file: "pd_op.add" -> "1.add"."""
    dialect, _, rest = name.partition(".")
    return f"{_CODES.get(dialect, dialect)}.{rest}"


def parse_type(raw: Json | None) -> TensorType | None:
    """Type of a dense tensor from JSON, or None for other types."""
    if not raw or raw["#"] != "0.t_dtensor":
        return None
    dtype, shape = raw["D"][:2]
    return TensorType(dtype["#"].removeprefix("0.t_"), tuple(shape))


def decode_attribute(typed: Json) -> Any:
    """Plain Python value of a typed attribute: nested lists, numbers, strings."""
    value = typed.get("D")
    if isinstance(value, list):
        return [decode_attribute(item) if isinstance(item, dict) else item for item in value]
    return value


def _shorten(raw: Any) -> str:
    text = str(raw)
    return text if len(text) <= 120 else text[:117] + "..."
