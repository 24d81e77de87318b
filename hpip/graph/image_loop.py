# SPDX-License-Identifier: Apache-2.0
"""Pattern matching of `while` loops over the images of a batch."""

from __future__ import annotations

from dataclasses import dataclass

from hpip.graph.match import constant_list, constant_number, listed, made_by
from hpip.graph.operation import Block, Operation
from hpip.graph.passes.base import NoMatchError
from hpip.graph.program import Program


@dataclass(frozen=True)
class ImageLoop:
    """A `while` whose body runs once per image, in order.

    Attributes:
        body: the block that is repeated.
        counter: the block's argument that holds the image's number.
        numbers: all image numbers in order, which the body may pick its own from.
    """

    body: Block
    counter: int
    numbers: int


def image_loop(program: Program, loop: Operation) -> ImageLoop:
    """Match a `while` that counts from 0 to the number of images; else raise NoMatchError."""
    body = loop.regions[0].blocks[0]
    counter, start = body.arguments[0], loop.inputs[1]
    first = made_by(program, loop.inputs[0], "less_than")
    again, following = body.operations[-1].inputs[:2]
    last = made_by(program, again, "less_than")
    if (
        constant_number(program, start) != 0
        or first.inputs[0] != start
        or last.inputs != (following, first.inputs[1])
        or not _is_next(program, following, counter)
    ):
        raise NoMatchError(f"{loop} does not count by one")
    numbers = _length_of(program, first.inputs[1])
    counted = made_by(program, numbers, "arange")
    bounds = [constant_number(program, counted.inputs[index]) for index in (0, 2)]
    images = _length_of(program, counted.inputs[1])
    if bounds != [0, 1] or images not in _per_image(program):
        raise NoMatchError(f"{loop} does not loop over the images")
    return ImageLoop(body, counter, numbers)


def row_of_image(program: Program, loop: ImageLoop, value: int, *, drops_axis: bool) -> int:
    """The tensor with one row per image of which `value` is the current image's row."""
    op = made_by(program, value, "slice")
    start, end = (
        listed(program, made_by(program, bound, "stack").inputs[0], 1)[0] for bound in op.inputs[1:]
    )
    if (
        op.attribute("axes") != [0]
        or bool(op.attribute("decrease_axis")) != drops_axis
        or not _is_next(program, end, start)
        or not _is_number(program, loop, start)
    ):
        raise NoMatchError(f"{op} does not take the row of the image")
    return op.inputs[0]


def written_values(program: Program, array: int) -> Operation:
    """The only operation that writes to a tensor array."""
    writers = [op for op in program.readers(array) if op.name == "pd_op.array_write_"]
    if len(writers) != 1:
        raise NoMatchError(f"expected one write to array {array}, found {len(writers)}")
    return writers[0]


def joined_arrays(program: Program, array: int) -> list[int]:
    """Values of the main block that are an array's concatenation along the first axis."""
    found = []
    for op in program.block.operations:
        if op.name == "pd_op.array_to_tensor" and op.inputs == (array,) and _joins_rows(op):
            found.append(op.outputs[0])
        if op.name == "pd_op.if" and _joins_many_or_takes_one(program, op, array):
            found.append(op.outputs[0])
    return found


def _is_number(program: Program, loop: ImageLoop, value: int) -> bool:
    """Whether a value is the index of the current image: the counter, or read from arange."""
    if value == loop.counter:
        return True
    try:
        return row_of_image(program, loop, value, drops_axis=True) == loop.numbers
    except NoMatchError:
        return False


def _is_next(program: Program, value: int, before: int) -> bool:
    op = program.maker(value)
    return (
        op is not None
        and op.name == "pd_op.scale"
        and op.inputs[0] == before
        and constant_number(program, op.inputs[1]) == 1
        and op.attribute("bias") == 1
    )


def _length_of(program: Program, value: int) -> int:
    """The tensor whose first length a value is."""
    op = made_by(program, value, "slice")
    if [constant_list(program, bound) for bound in op.inputs[1:]] != [[0], [1]]:
        raise NoMatchError(f"{op} does not take the first length")
    return made_by(program, op.inputs[0], "shape64", "shape").inputs[0]


def _per_image(program: Program) -> set[int]:
    """Inputs of the program, which have one row per image."""
    return {op.outputs[0] for op in program.inputs.values()}


def _joins_rows(op: Operation) -> bool:
    return op.attribute("axis") == 0 and not op.attribute("use_stack")


def _joins_many_or_takes_one(program: Program, branch: Operation, array: int) -> bool:
    """Match `if (length > 1) concatenate all, else take the first`, equal for any length."""
    if len(branch.outputs) != 1 or len(branch.regions) != 2:
        return False
    many, one = (
        program.maker(region.blocks[0].operations[-1].inputs[0]) for region in branch.regions
    )
    try:
        above = made_by(program, branch.inputs[0], "greater_than")
        length = made_by(program, above.inputs[0], "array_length")
        return (
            length.inputs == (array,)
            and constant_number(program, above.inputs[1]) == 1
            and many is not None
            and many.name == "pd_op.array_to_tensor"
            and many.inputs == (array,)
            and _joins_rows(many)
            and one is not None
            and one.name == "pd_op.slice_array_dense"
            and one.inputs[0] == array
            and constant_number(program, one.inputs[1]) == 0
        )
    except NoMatchError:
        return False
