# SPDX-License-Identifier: Apache-2.0
"""Operators on shapes and layouts: reshape, transpose, concat, slice, pad and the like."""

from __future__ import annotations

from collections.abc import Sequence

from hpip.graph.onnx_export.exporter import Exporter, Names, emits, refuse
from hpip.graph.operation import Operation

_LAST = 2**63 - 1
_LAST_32 = 2**31 - 1


@emits("reshape", "reshape_", "view_shape")
def _reshape(out: Exporter, op: Operation) -> Sequence[Names]:
    value, shape = op.inputs
    return [out.node("Reshape", out.name(value), _listed_index(out, shape))]


def _listed_index(out: Exporter, value: int) -> str:
    """A shape from one integer tensor or a list of scalars, as an int64 vector."""
    maker = out.program.maker(value)
    if maker is None or maker.name != "builtin.combine":
        return out.as_index(value)
    parts = [out.as_index(part) for part in maker.inputs]
    return out.node("Concat", *parts, axis=0)


@emits("flatten", "flatten_")
def _flatten(out: Exporter, op: Operation) -> Sequence[Names]:
    value = op.inputs[0]
    rank = out.rank(value)
    start, stop = (axis % rank for axis in (op.attribute("start_axis"), op.attribute("stop_axis")))
    name, shape = out.name(value), out.type(value).shape
    known = shape[start : stop + 1]
    if start == stop:
        return [name]
    # 0 copies a length, which requires that no earlier axis is removed.
    after = [shape[axis] for axis in range(stop + 1, rank)]
    if -1 not in after:
        return [out.node("Reshape", name, out.shape_constant([0] * start + [-1, *after]))]
    if -1 not in known:
        raise refuse(op, "dynamic lengths after the flattened axes")
    parts = [
        _lengths(out, name, 0, start),
        out.shape_constant([-1]),
        _lengths(out, name, stop + 1, rank),
    ]
    return [out.node("Reshape", name, out.node("Concat", *filter(None, parts), axis=0))]


def _lengths(out: Exporter, name: str, start: int, end: int) -> str:
    return "" if start == end else out.node("Shape", name, start=start, end=end)


@emits("transpose", "transpose_")
def _transpose(out: Exporter, op: Operation) -> Sequence[Names]:
    return [out.node("Transpose", out.name(op.inputs[0]), perm=op.attribute("perm"))]


@emits("squeeze", "squeeze_")
def _squeeze(out: Exporter, op: Operation) -> Sequence[Names]:
    value, axes = op.inputs
    shape = out.type(value).shape
    wanted = out.integers(op, axes) or [i for i, length in enumerate(shape) if length == 1]
    # Paddle ignores axes that are longer than 1; ONNX raises an error for them.
    short = [axis for axis in wanted if shape[axis] == 1]
    if any(shape[axis] == -1 for axis in wanted):
        raise refuse(op, f"squeeze of dynamic axes: {wanted} of {list(shape)}")
    name = out.name(value)
    return [out.node("Squeeze", name, out.shape_constant(short)) if short else name]


@emits("unsqueeze", "unsqueeze_")
def _unsqueeze(out: Exporter, op: Operation) -> Sequence[Names]:
    value, axes = op.inputs
    wanted = out.integers(op, axes)
    # Paddle inserts the axes one by one; each index refers to the shape at that point.
    for index, axis in enumerate(wanted):
        place = axis + out.rank(value) + index + 1 if axis < 0 else axis
        wanted[:index] = [other + (other >= place) for other in wanted[:index]]
        wanted[index] = place
    return [out.node("Unsqueeze", out.name(value), out.shape_constant(sorted(wanted)))]


@emits("concat")
def _concat(out: Exporter, op: Operation) -> Sequence[Names]:
    parts, axis = op.inputs
    names = out.names(parts)
    (along,) = out.integers(op, axis)
    return [names[0] if len(names) == 1 else out.node("Concat", *names, axis=along)]


@emits("stack")
def _stack(out: Exporter, op: Operation) -> Sequence[Names]:
    axis = op.attribute("axis")
    place = out.shape_constant([axis])
    parts = [out.node("Unsqueeze", name, place) for name in out.names(op.inputs[0])]
    return [parts[0] if len(parts) == 1 else out.node("Concat", *parts, axis=axis)]


@emits("split")
def _split(out: Exporter, op: Operation) -> Sequence[Names]:
    value, sections, axis = op.inputs
    if out.type(sections).shape == (1,):
        # A split into one part, whose length may be computed, as for the boxes of Cascade-MaskRCNN.
        return [(out.name(value),)]
    lengths = out.integers(op, sections)
    (along,) = out.integers(op, axis)
    if -1 in lengths:
        whole = out.type(value).shape[along]
        if whole == -1:
            return [_around_rest(out, out.name(value), lengths, along)]
        lengths[lengths.index(-1)] = whole - sum(lengths) - 1
    parts = [out.name(value), out.shape_constant(lengths)]
    return [out.node_of("Split", parts, len(lengths), axis=along)]


def _around_rest(out: Exporter, name: str, lengths: Sequence[int], along: int) -> tuple[str, ...]:
    """Split with one part of dynamic length: later parts are indexed from the end."""
    rest = lengths.index(-1)
    parts = []
    for index, length in enumerate(lengths):
        left, right = sum(lengths[:index]), sum(lengths[index + 1 :])
        start = left if index <= rest else -length - right
        end = left + length if index < rest else -right or _LAST
        bounds = (out.shape_constant([bound]) for bound in (start, end, along))
        parts.append(out.node("Slice", name, *bounds))
    return tuple(parts)


@emits("split_with_num")
def _split_with_num(out: Exporter, op: Operation) -> Sequence[Names]:
    value, axis = op.inputs
    (along,) = out.integers(op, axis)
    return [out.node_of("Split", [out.name(value)], op.attribute("num"), axis=along)]


@emits("unbind")
def _unbind(out: Exporter, op: Operation) -> Sequence[Names]:
    value, axis = op.inputs[0], op.attribute("axis")
    count = out.type(value).shape[axis]
    parts = out.node_of("Split", [out.name(value)], count, axis=axis)
    place = out.shape_constant([axis])
    return [tuple(out.node("Squeeze", part, place) for part in parts)]


@emits("builtin.combine")
def _combine(out: Exporter, op: Operation) -> Sequence[Names]:
    return [tuple(out.name(value) for value in op.inputs)]


@emits("builtin.split")
def _separate(out: Exporter, op: Operation) -> Sequence[Names]:
    return out.names(op.inputs[0])


@emits("slice", "strided_slice")
def _slice(out: Exporter, op: Operation) -> Sequence[Names]:
    value, *bounds = op.inputs
    axes = op.attribute("axes")
    name = out.name(value)
    starts, ends, *steps = (_bounds(out, bound) for bound in bounds)
    result = out.node("Slice", name, starts, ends, out.shape_constant(axes), *steps)
    dropped = op.attribute("decrease_axis") if op.has_attribute("decrease_axis") else []
    return [out.node("Squeeze", result, out.shape_constant(dropped)) if dropped else result]


def _bounds(out: Exporter, value: int) -> str:
    known = out.known(value)
    if known is None:
        return _listed_index(out, value)
    # In Paddle, the maximum of int32 means "to the end".
    return out.shape_constant([_LAST if n == _LAST_32 else int(n) for n in known.reshape(-1)])


@emits("expand")
def _expand(out: Exporter, op: Operation) -> Sequence[Names]:
    value, shape = op.inputs
    # -1 keeps a length in Paddle, 1 does in ONNX.
    known = out.known(shape)
    if known is not None:
        lengths = [1 if n == -1 else int(n) for n in known.reshape(-1)]
        return [out.node("Expand", out.name(value), out.shape_constant(lengths))]
    wanted = _listed_index(out, shape)
    keeps = out.node("Equal", wanted, out.shape_constant([-1]))
    target = out.node("Where", keeps, out.shape_constant([1]), wanted)
    return [out.node("Expand", out.name(value), target)]


@emits("tile")
def _tile(out: Exporter, op: Operation) -> Sequence[Names]:
    value, repeats = op.inputs
    known, kind = out.known(repeats), out.program.type_of(repeats)
    rank = out.rank(value)
    if known is None:
        counts = _listed_index(out, repeats)
        length = kind.shape[0] if kind is not None else len(out.names(repeats))
    else:
        numbers = [int(count) for count in known.reshape(-1)]
        length = max(rank, len(numbers))
        counts = out.shape_constant([1] * (length - len(numbers)) + numbers)
    if length < rank:
        raise refuse(op, f"tile with {length} computed repeats for rank {rank}")
    name = out.name(value)
    if length > rank:
        name = out.node("Unsqueeze", name, out.shape_constant(range(length - rank)))
    return [out.node("Tile", name, counts)]


@emits("flip")
def _flip(out: Exporter, op: Operation) -> Sequence[Names]:
    axes = op.attribute("axis")
    bounds = [[-1] * len(axes), [-_LAST] * len(axes), axes, [-1] * len(axes)]
    return [out.node("Slice", out.name(op.inputs[0]), *map(out.shape_constant, bounds))]


@emits("shape", "shape64")
def _shape(out: Exporter, op: Operation) -> Sequence[Names]:
    lengths = out.node("Shape", out.name(op.inputs[0]))
    kind = out.type(op.outputs[0]).dtype
    return [lengths if kind == "i64" else out.cast(lengths, kind)]


@emits("triu", "tril")
def _triangle(out: Exporter, op: Operation) -> Sequence[Names]:
    value, diagonal = op.inputs[0], out.constant(op.attribute("diagonal"), "i64")
    upper = int(op.name == "pd_op.triu")
    if out.type(value).dtype != "bool":
        return [out.node("Trilu", out.name(value), diagonal, upper=upper)]
    number = out.node("Trilu", out.cast(out.name(value), "i32"), diagonal, upper=upper)
    return [out.cast(number, "bool")]


@emits("meshgrid")
def _meshgrid(out: Exporter, op: Operation) -> Sequence[Names]:
    lines = out.names(op.inputs[0])
    lengths = out.node("Concat", *(out.node("Shape", line) for line in lines), axis=0)
    grids = []
    for index, line in enumerate(lines):
        shape = [1] * len(lines)
        shape[index] = -1
        column = out.node("Reshape", line, out.shape_constant(shape))
        grids.append(out.node("Expand", column, lengths))
    return [tuple(grids)]


@emits("broadcast_tensors")
def _broadcast_tensors(out: Exporter, op: Operation) -> Sequence[Names]:
    names = out.names(op.inputs[0])
    shape = out.node("Shape", out.total(names))
    return [tuple(out.node("Expand", name, shape) for name in names)]


@emits("pad")
def _pad(out: Exporter, op: Operation) -> Sequence[Names]:
    value, filler = op.inputs
    paddings = op.attribute("paddings")
    known = out.known(filler)
    if known is None:
        raise refuse(op, "a computed padding value")
    pads = out.shape_constant([*paddings[::2], *paddings[1::2]])
    number = out.constant(known.reshape(()), out.type(value).dtype)
    return [out.node("Pad", out.name(value), pads, number)]
