# SPDX-License-Identifier: Apache-2.0
"""Pattern matching for passes: each function returns a match or raises NoMatchError."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from hpip.graph.constant_folding import NotEvaluableError, constant, evaluate
from hpip.graph.operation import NO_VALUE, Operation
from hpip.graph.passes.base import NoMatchError
from hpip.graph.program import Program
from hpip.types import AnyArray, Float32Array

# Inputs (im_shape, scale_factor) to evaluate computed sizes: both orientations, and ratios with
# fractions below and above one half.
_SAMPLE_FEEDS = (
    ((800, 1067), (800 / 480, 1067 / 640)),
    ((640, 640), (640 / 427, 640 / 641)),
    ((1333, 823), (1333 / 2161, 823 / 1333)),
    ((800, 1067), (1.6655, 1.7085)),
)

SizeRule = Callable[[Float32Array, Float32Array], AnyArray]


def made_by(program: Program, value: int, *names: str) -> Operation:
    """The operation that makes `value`, which must be one of `names` (without "pd_op.")."""
    op = program.maker(value)
    if op is None or op.name.removeprefix("pd_op.") not in names:
        raise NoMatchError(f"expected {' or '.join(names)}, found {op or f'input {value}'}")
    return op


def skip(program: Program, value: int, names: Collection[str]) -> int:
    """Follow first operands upwards while operations have one of these names."""
    while True:
        op = program.maker(value)
        if op is None or op.name.removeprefix("pd_op.") not in names or not op.inputs:
            return value
        value = op.inputs[0]


def listed(program: Program, value: int, count: int) -> tuple[int, ...]:
    """The `count` operands of a `combine`."""
    op = program.maker(value)
    if op is None or op.name != "builtin.combine" or len(op.inputs) != count:
        raise NoMatchError(f"expected a combine of {count} values, found {op}")
    return op.inputs


def constant_list(program: Program, value: int) -> list[float]:
    """A constant as a flat list of numbers."""
    array = constant(program, value)
    if array is None:
        raise NoMatchError(f"value {value} is not constant")
    return [float(number) for number in array.reshape(-1)]


def constant_number(program: Program, value: int) -> float:
    """A constant of one element."""
    numbers = constant_list(program, value)
    if len(numbers) != 1:
        raise NoMatchError(f"expected one number in value {value}, found {len(numbers)}")
    return numbers[0]


def one(program: Program, name: str) -> Operation:
    """The only operation with this name in the program."""
    found = [op for op in program.walk() if op.name == f"pd_op.{name}"]
    if len(found) != 1:
        raise NoMatchError(f"expected one {name}, found {len(found)}")
    return found[0]


def reader(program: Program, value: int, name: str) -> Operation:
    """The only operation with this name that reads `value`; others may read it too."""
    found = [op for op in program.readers(value) if op.name == f"pd_op.{name}"]
    if len(found) != 1:
        raise NoMatchError(f"expected one {name} to read value {value}, found {len(found)}")
    return found[0]


def output_values(program: Program, count: int) -> list[int]:
    """The output values of the program, which must be `count`."""
    outputs = program.outputs
    if len(outputs) != count:
        raise NoMatchError(f"expected {count} outputs, found {len(outputs)}")
    return [op.inputs[0] for op in outputs]


def input_value(program: Program, name: str) -> int:
    """The value of the input with this name."""
    if name not in program.inputs:
        raise NoMatchError(f"the program has no input {name}")
    return program.inputs[name].outputs[0]


def plain_bilinear(program: Program, op: Operation) -> None:
    """Check that a resize uses half-pixel centres, like all native resizing."""
    wanted = {"interp_method": "bilinear", "align_corners": False, "align_mode": 0}
    found = {name: op.attribute(name) for name in wanted}
    if found != wanted:
        raise NoMatchError(f"{op} resizes with {found}, not with {wanted}")


def fixed_size(program: Program, op: Operation) -> tuple[int, int]:
    """Target height and width of a resize with a constant size."""
    size = (int(op.attribute("out_h")), int(op.attribute("out_w")))
    if min(size) < 1 or any(value != NO_VALUE for value in op.inputs[1:]):
        raise NoMatchError(f"{op} does not resize to a fixed size")
    return size


def resize_target(program: Program, op: Operation) -> tuple[int, int]:
    """The values of the target height and width of a resize with a computed size."""
    _, size, sizes, scale = op.inputs
    if scale != NO_VALUE or (size == NO_VALUE) == (sizes == NO_VALUE):
        raise NoMatchError(f"{op} does not take its size from one operand")
    if sizes != NO_VALUE:
        height, width = listed(program, sizes, 2)
        return height, width
    return size, size


def follows(program: Program, value: int, rule: SizeRule, index: int | None = None) -> bool:
    """Whether a value computed from im_shape and scale_factor equals `rule` for one image.

    With `index`, only that component of the rule's result. Both are evaluated for sample images, so
    that any equivalent formula matches.
    """
    im_shape = input_value(program, "im_shape")
    scale_factor = input_value(program, "scale_factor")
    for feeds in _SAMPLE_FEEDS:
        shape, scale = (np.array([feed], np.float32) for feed in feeds)
        try:
            found = evaluate(program, value, {im_shape: shape, scale_factor: scale})
        except NotEvaluableError:
            return False
        wanted = rule(shape[0], scale[0]).reshape(-1)
        if not np.array_equal(found.reshape(-1), wanted if index is None else wanted[[index]]):
            return False
    return True


def rounded_original(im_shape: Float32Array, scale_factor: Float32Array) -> Float32Array:
    """Size of the original image: resized size over scale factor, rounded to pixels."""
    size: Float32Array = np.floor(im_shape / scale_factor + np.float32(0.5))
    return size
