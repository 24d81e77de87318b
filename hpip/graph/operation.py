# SPDX-License-Identifier: Apache-2.0
"""Operations, blocks and regions of a PIR program: thin views of the JSON that Paddle writes.

The JSON stays the only copy of the facts. A view reads and edits it in place, so whatever this
module does not know (new attributes, new kinds of type) survives reading and writing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from hpip.errors import ModelFormatError

Json: TypeAlias = dict[str, Any]

# Paddle shortens the name of a dialect in the file (schema.cc); test dialects are left out.
_DIALECTS = {"0": "builtin", "1": "pd_op", "2": "cf", "3": "custom_op", "4": "dist"}
_CODES = {name: code for code, name in _DIALECTS.items()}

PARAMETER = "builtin.parameter"
# A parameter is written in a form of its own: name "p", attributes as a bare list.
_PARAMETER_CODE = "p"
_PARAMETER_NAME_INDEX = 3

# "I" of an optional operand that is absent.
NO_VALUE = 0


@dataclass(frozen=True)
class TensorType:
    """What is known of a value before the program runs; -1 stands for an unknown length."""

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
        """Make operand `index` read `value`. The owner of the program must be told: see Program."""
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
        """Type of each result; None for what is no dense tensor (lists, arrays of tensors)."""
        return tuple(parse_type(result.get("TT")) for result in self._results)

    def output_type_json(self, index: int) -> Json:
        """The type of result `index` as it is written."""
        found: Json = self._results[index]["TT"]
        return found

    def attribute(self, name: str) -> Any:
        """Value of an attribute as plain Python; KeyError when there is none of that name."""
        for attribute in self._attributes():
            if attribute["N"] == name:
                return decode_attribute(attribute["AT"])
        raise KeyError(name)

    def has_attribute(self, name: str) -> bool:
        """Whether the operation carries an attribute of that name."""
        return any(attribute["N"] == name for attribute in self._attributes())

    def set_attribute(self, name: str, typed: Json) -> None:
        """Replace or add an attribute; `typed` as the encode functions of `builder` make it."""
        for attribute in self._attributes():
            if attribute["N"] == name:
                attribute["AT"] = typed
                return
        self.raw.setdefault("A", []).append({"AT": typed, "N": name})

    def _attributes(self) -> Sequence[Json]:
        return () if self.name == PARAMETER else self.raw.get("A", ())

    @property
    def parameter_name(self) -> str:
        """Name of the weight that this parameter operation stands for."""
        if self.raw["#"] == _PARAMETER_CODE:
            return str(self.raw["A"][_PARAMETER_NAME_INDEX])
        raise KeyError("parameter_name")

    @property
    def writes_in_place(self) -> bool:
        """Whether the operation may change its first operand instead of making a new value.

        Paddle's convention is a trailing underscore; the array operations of loops rely on it.
        """
        return self.name.endswith("_")

    def walk(self) -> Iterator[Operation]:
        """This operation and all within its regions, outside in."""
        yield self
        for region in self.regions:
            for block in region.blocks:
                yield from block.walk()

    def to_json(self) -> Json:
        """The operation as Paddle writes it."""
        if not self.regions:
            return self.raw
        return {**self.raw, "regions": [region.to_json() for region in self.regions]}

    def __repr__(self) -> str:
        first = f" (value {self.outputs[0]})" if self.outputs else ""
        return self.name.removeprefix("pd_op.") + first


class Block:
    """A list of operations, and the arguments that a loop hands to it."""

    def __init__(self, raw: Json, owner: Operation | None = None) -> None:
        self.raw = raw
        self.owner = owner
        self.operations = [Operation(operation, self) for operation in raw["ops"]]

    @property
    def arguments(self) -> tuple[int, ...]:
        """Values that the block receives, keyword arguments last."""
        return tuple(argument["#"] for argument in self._argument_json())

    def _argument_json(self) -> Sequence[Json]:
        return [*self.raw.get("args", ()), *self.raw.get("kwargs", ())]

    @property
    def argument_types(self) -> Mapping[int, TensorType | None]:
        """Type of each argument."""
        return {argument["#"]: parse_type(argument.get("TT")) for argument in self._argument_json()}

    def walk(self) -> Iterator[Operation]:
        """All operations of the block and within them, in order."""
        for operation in self.operations:
            yield from operation.walk()

    def to_json(self) -> Json:
        """The block as Paddle writes it."""
        return {**self.raw, "ops": [operation.to_json() for operation in self.operations]}


class Region:
    """What an `if` or `while` carries: Paddle writes one block per region."""

    def __init__(self, raw: Json, owner: Operation | None = None) -> None:
        self.raw = raw
        self.blocks = [Block(block, owner) for block in raw["blocks"]]

    def to_json(self) -> Json:
        """The region as Paddle writes it."""
        return {**self.raw, "blocks": [block.to_json() for block in self.blocks]}


def expand_name(code: str) -> str:
    """Full name of an operation, type or attribute: "1.add" -> "pd_op.add"."""
    if code == _PARAMETER_CODE:
        return PARAMETER
    dialect, _, name = code.partition(".")
    return f"{_DIALECTS.get(dialect, dialect)}.{name}"


def shorten_name(name: str) -> str:
    """The code that the file carries: "pd_op.add" -> "1.add"."""
    dialect, _, rest = name.partition(".")
    return f"{_CODES.get(dialect, dialect)}.{rest}"


def parse_type(raw: Json | None) -> TensorType | None:
    """Dense tensor type from its JSON, or None for any other."""
    if not raw or raw["#"] != "0.t_dtensor":
        return None
    dtype, shape = raw["D"][:2]
    return TensorType(dtype["#"].removeprefix("0.t_"), tuple(shape))


def decode_attribute(typed: Json) -> Any:
    """Plain Python value of a typed attribute: lists of lists, numbers, strings."""
    value = typed.get("D")
    if isinstance(value, list):
        return [decode_attribute(item) if isinstance(item, dict) else item for item in value]
    return value


def _shorten(raw: Any) -> str:
    text = str(raw)
    return text if len(text) <= 120 else text[:117] + "..."
