# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.graph.onnx_export.exporting import Forward, assert_same, export, numbers


def _positive(x: Any) -> Any:
    return x.abs() + 0.1


BY_NUMBER: dict[str, Forward] = {
    "abs": lambda p, x: p.abs(x),
    "ceil": lambda p, x: p.ceil(x),
    "cos": lambda p, x: p.cos(x),
    "erf": lambda p, x: p.erf(x),
    "exp": lambda p, x: p.exp(x),
    "floor": lambda p, x: p.floor(x),
    "log": lambda p, x: p.log(_positive(x)),
    "reciprocal": lambda p, x: p.reciprocal(_positive(x)),
    "round": lambda p, x: p.round(x * 2),
    "rsqrt": lambda p, x: p.rsqrt(_positive(x)),
    "sign": lambda p, x: p.sign(x),
    "sin": lambda p, x: p.sin(x),
    "sqrt": lambda p, x: p.sqrt(_positive(x)),
    "square": lambda p, x: p.square(x),
    "tanh": lambda p, x: p.tanh(x),
    "relu": lambda p, x: p.nn.functional.relu(x),
    "relu6": lambda p, x: p.nn.functional.relu6(x * 4),
    "leaky_relu": lambda p, x: p.nn.functional.leaky_relu(x, 0.1),
    "sigmoid": lambda p, x: p.nn.functional.sigmoid(x),
    "silu": lambda p, x: p.nn.functional.silu(x),
    "swish": lambda p, x: p.nn.functional.swish(x),
    "mish": lambda p, x: p.nn.functional.mish(x),
    "gelu": lambda p, x: p.nn.functional.gelu(x),
    "hardsigmoid": lambda p, x: p.nn.functional.hardsigmoid(x),
    "hardswish": lambda p, x: p.nn.functional.hardswish(x),
    "pow": lambda p, x: p.pow(_positive(x), 1.5),
    "elementwise_pow": lambda p, x: p.pow(_positive(x), p.full([], 2.0)),
    "scale": lambda p, x: p.scale(x, 3.0, 1.5),
    "scale before bias": lambda p, x: p.scale(x, 3.0, 1.5, bias_after_scale=False),
    "clip": lambda p, x: p.clip(x, -0.5, 0.7),
    "cast": lambda p, x: (p.cast(x, "int32"), p.cast(x, "bool"), p.cast(x, "float64")),
    "where": lambda p, x: p.where(x > 0, x, -2 * x),
    "add_n": lambda p, x: p.add_n([x, x * 2, x + 1]),
    "add_n of whole numbers": lambda p, x: p.add_n([x.astype("int32")] * 3),
    "arithmetic": lambda p, x: (x + 2 - x * x) / _positive(x),
    "broadcast": lambda p, x: x + x.mean(axis=-1, keepdim=True),
    "compare": lambda p, x: (x > 0, x >= 1, x < 0, x <= 1, x == x.round(), x != x.round()),
    "logic": lambda p, x: (
        p.logical_and(x > 0, x < 1),
        p.logical_or(x > 1, x < 0),
        p.logical_xor(x > 0, x > 1),
        p.logical_not(x > 0),
    ),
    "extrema": lambda p, x: (p.maximum(x, -x), p.minimum(x, x * 0)),
    "floats modulo": lambda p, x: (p.floor_divide(x, p.full([], 0.7)), x % 0.7),
}


@pytest.mark.parametrize("name", BY_NUMBER)
def test_operators_on_each_number(name: str, tmp_path: Path) -> None:
    files = export(tmp_path, BY_NUMBER[name], [None, 5, 7], "float32")
    assert_same(files, tmp_path, {"x": numbers(3, 5, 7)}, {"x": numbers(1, 5, 7, seed=1)})


@pytest.mark.parametrize("divisor", [7, -7, 80])
def test_whole_numbers_divide_and_leave_rests_as_in_paddle(divisor: int, tmp_path: Path) -> None:
    files = export(
        tmp_path, lambda p, x: (x // divisor, x % divisor, p.remainder(x, x * 0 + 3)), [20], "int64"
    )
    x = np.array(
        [-161, -160, -81, -80, -79, -8, -7, -6, -1, 0, 1, 6, 7, 8, 79, 80, 81, 160, 161, 5]
    )
    assert_same(files, tmp_path, {"x": x.astype(np.int64)})


MOVING: dict[str, Forward] = {
    "reshape": lambda p, x: x.reshape([0, -1, 2]),
    "reshape to a scalar's shape": lambda p, x: x.sum().reshape([1, 1]),
    "reshape to computed lengths": lambda p, x: x.reshape([p.shape(x)[0], p.shape(x)[1] * 2, 3]),
    "flatten": lambda p, x: x.flatten(1, 2),
    "flatten from the first": lambda p, x: x.flatten(0, 1),
    "flatten all": lambda p, x: x.flatten(),
    "transpose": lambda p, x: x.transpose([2, 0, 1]),
    "squeeze": lambda p, x: x.unsqueeze([1, 3]).squeeze([1, 3]),
    "squeeze of what is longer": lambda p, x: x.squeeze([1]),
    "unsqueeze": lambda p, x: x.unsqueeze([2, 4]),
    "unsqueeze from behind": lambda p, x: x.unsqueeze([-1, -2]),
    "concat": lambda p, x: p.concat([x, x * 2, x[:, :1]], axis=1),
    "concat from behind": lambda p, x: p.concat([x, x], axis=-1),
    "stack": lambda p, x: p.stack([x, x + 1], axis=1),
    "stack from behind": lambda p, x: p.stack([x, x + 1], axis=-2),
    "split": lambda p, x: tuple(p.split(x, [1, 3], axis=1)),
    "split with a rest": lambda p, x: tuple(p.split(x, [1, -1, 2], axis=2)),
    "split in parts": lambda p, x: tuple(p.split(x, 2, axis=1)),
    "slice": lambda p, x: (x[:, 1:3], x[0], x[:, -2:, 1], x[:, :, -1]),
    "slice by steps": lambda p, x: x[:, :, 1::2],
    "slice to a computed end": lambda p, x: x[:, : p.shape(x)[1] - 1],
    "expand": lambda p, x: x[:, :1].expand([-1, 5, -1]),
    "expand to computed lengths": lambda p, x: x[:, :1].expand([p.shape(x)[0], 3, -1]),
    "tile": lambda p, x: (x.tile([2]), x.tile([1, 2, 3]), x.tile([2, 1, 1, 1])),
    "tile by computed counts": lambda p, x: p.full([], 3.0).tile([p.shape(x)[0]]),
    "flip": lambda p, x: x.flip([0, 2]),
    "shape": lambda p, x: p.shape(x),
    "triu": lambda p, x: (p.triu(x, 1), p.tril(x, -1), p.triu(x)),
    "meshgrid": lambda p, x: tuple(p.meshgrid(x[0, 0], x[0, :, 0])),
    "assign": lambda p, x: p.assign(x),
    "pad": lambda p, x: p.nn.functional.pad(
        x, [0, 0, 1, 2, 3, 4], value=0.5, pad_from_left_axis=True
    ),
    "full_like": lambda p, x: p.full_like(x, 3.0) + x,
    "zeros": lambda p, x: p.zeros([p.shape(x)[0], 2]),
    "large constant": lambda p, x: p.full([70, 80], 2.5) + x[0, 0, 0],
    "arange": lambda p, x: (p.arange(7), p.arange(0.0, 2.0, 0.5), p.arange(p.shape(x)[1])),
    "linspace": lambda p, x: p.linspace(-1, 1, p.shape(x)[1]),
    "cumsum": lambda p, x: x.cumsum(1),
}


@pytest.mark.parametrize("name", MOVING)
def test_operators_that_move_numbers(name: str, tmp_path: Path) -> None:
    files = export(tmp_path, MOVING[name], [None, 4, 6], "float32")
    assert_same(files, tmp_path, {"x": numbers(3, 4, 6)}, {"x": numbers(1, 4, 6, seed=1)})


REDUCING: dict[str, Forward] = {
    "sum": lambda p, x: (x.sum(), x.sum(1), x.sum([0, 2], keepdim=True), (x > 0).sum(1)),
    "mean": lambda p, x: (x.mean(), x.mean([1, 2]), x.mean(-1, keepdim=True)),
    "extrema": lambda p, x: (x.max(1), x.min(-1, keepdim=True), x.max(), p.amax(x, 0), p.amin(x)),
    "any": lambda p, x: ((x > 3).any(1), (x > -3).all([1, 2]), (x > 4).any()),
    "softmax": lambda p, x: (p.nn.functional.softmax(x), p.nn.functional.softmax(x, 1)),
    "log_softmax": lambda p, x: p.nn.functional.log_softmax(x, 1),
    "matmul": lambda p, x: (x @ x.transpose([0, 2, 1]), p.matmul(x, x, transpose_y=True)),
    "bmm": lambda p, x: p.bmm(x, x.transpose([0, 2, 1])),
    "topk": lambda p, x: (*p.topk(x, 3), *p.topk(x, 2, axis=1, largest=False)),
    "argsort": lambda p, x: (p.argsort(x, 1), p.argsort(x, descending=True)),
    "argmax": lambda p, x: (p.argmax(x, 1), p.argmin(x, -1, keepdim=True)),
    "nonzero": lambda p, x: p.nonzero(x > 0),
    "gather": lambda p, x: p.gather(x, p.to_tensor([2, 0, 1, 1]), axis=1),
    "gather by a column": lambda p, x: p.gather(x[0], p.to_tensor([[2], [0]])),
    "gather_nd": lambda p, x: p.gather_nd(x, p.to_tensor([[0, 1], [0, 3]])),
    "index_select": lambda p, x: p.index_select(x, p.to_tensor([1, 3]), axis=2),
    "take_along_axis": lambda p, x: p.take_along_axis(x, p.argsort(x, 1), 1, broadcast=False),
    "one_hot": lambda p, x: p.nn.functional.one_hot(p.argmax(x, 1), 5),
}


@pytest.mark.parametrize("name", REDUCING)
def test_operators_that_reduce_and_pick(name: str, tmp_path: Path) -> None:
    files = export(tmp_path, REDUCING[name], [None, 4, 6], "float32")
    assert_same(files, tmp_path, {"x": numbers(3, 4, 6)}, {"x": numbers(1, 4, 6, seed=1)})


def _resize(**options: Any) -> Forward:
    return lambda p, x: p.nn.functional.interpolate(x, **options)


IMAGES: dict[str, Forward] = {
    "split around a rest": lambda p, x: tuple(p.split(x, [2, 1, -1, 3, 1], axis=2)),
    "split before a rest": lambda p, x: tuple(p.split(x, [3, -1], axis=3)),
    "split behind a rest": lambda p, x: tuple(p.split(x, [-1, 1], axis=2)),
    "split into one": lambda p, x: p.split(x, [-1], axis=2)[0] * 2,
    "split into one of computed length": lambda p, x: p.split(x, [p.shape(x)[2]], axis=2)[0] * 2,
    "max pool": lambda p, x: p.nn.functional.max_pool2d(x, 3, 2, 1),
    "max pool, ceil": lambda p, x: p.nn.functional.max_pool2d(x, 2, 2, ceil_mode=True),
    "max pool, same": lambda p, x: p.nn.functional.max_pool2d(x, 2, 1, "SAME"),
    "max pool, same by strides": lambda p, x: p.nn.functional.max_pool2d(x, 3, 2, "SAME"),
    "max pool, uneven padding": lambda p, x: p.nn.functional.max_pool2d(x, 3, 1, [0, 1, 1, 0]),
    "mean pool": lambda p, x: p.nn.functional.avg_pool2d(x, 3, 2, 1),
    "mean pool with padding": lambda p, x: p.nn.functional.avg_pool2d(x, 3, 2, 1, exclusive=False),
    "mean pool, ceil": lambda p, x: p.nn.functional.avg_pool2d(x, 2, 2, ceil_mode=True),
    "pool to one": lambda p, x: p.nn.functional.adaptive_avg_pool2d(x, 1),
    "conv by computed kernels": lambda p, x: p.nn.functional.conv2d(
        x, x.mean([2, 3]).reshape([-1, 4, 1, 1])
    ),
    "nearest by factor": _resize(scale_factor=2, mode="nearest"),
    "nearest to size": _resize(size=[7, 5], mode="nearest"),
    "bilinear by factor": _resize(scale_factor=2, mode="bilinear"),
    "bilinear down": _resize(scale_factor=0.5, mode="bilinear"),
    "bilinear to size": _resize(size=[13, 29], mode="bilinear"),
    "bilinear by corners": _resize(size=[13, 29], mode="bilinear", align_corners=True),
    "bilinear, asymmetric": _resize(scale_factor=2, mode="bilinear", align_mode=1),
    "bilinear to a computed size": lambda p, x: p.nn.functional.interpolate(
        x, size=[p.shape(x)[2] + 3, p.shape(x)[3] * 2], mode="bilinear"
    ),
    "sampled on a grid": lambda p, x: p.nn.functional.grid_sample(
        x, (x[:, :2].transpose([0, 2, 3, 1]) / 2), align_corners=False
    ),
    "sampled by corners": lambda p, x: p.nn.functional.grid_sample(
        x, (x[:, :2].transpose([0, 2, 3, 1]) / 2), padding_mode="border", align_corners=True
    ),
}


@pytest.mark.parametrize("name", IMAGES)
def test_operators_on_images(name: str, tmp_path: Path) -> None:
    files = export(tmp_path, IMAGES[name], [None, 4, None, None], "float32")
    assert_same(files, tmp_path, {"x": numbers(2, 4, 10, 12)}, {"x": numbers(1, 4, 13, 9, seed=1)})
