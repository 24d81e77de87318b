# SPDX-License-Identifier: Apache-2.0
"""The native steps of two-stage detectors, at the sizes of a 768 x 1344 input (1080p)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.kernels.case import HPIP, Case, Run, UnavailableError
from hpip import ops

INPUT_HW = (768, 1344)
PADDLE = "Paddle's operator"
WANTED = {PADDLE: 3.0}


def cases() -> Iterator[Case]:
    """The operators as MaskRCNN (FPN and C4), Cascade and PP-YOLOE_seg use them."""
    fpn = {"pre_nms_top_n": 1000, "post_nms_top_n": 1000}
    pyramid = [_level(stride) for stride in (4, 8, 16, 32, 64)]
    for stride, level in zip((4, 8, 16, 32, 64), pyramid, strict=True):
        yield _proposals(f"proposals, stride {stride}", [level], fpn)
    yield _proposals("proposals, strides 4 to 64", pyramid, fpn)
    c4 = {"pre_nms_top_n": 6000, "post_nms_top_n": 1000}
    yield _proposals("proposals, C4", [_level(16, (32, 64, 128, 256, 512))], c4)
    yield from _suppressions()
    for name, boxes, side, stride, pixels in (
        ("600 x 256 x 7 x 7, stride 4", 600, 7, 4, (16, 112)),
        ("250 x 256 x 7 x 7, stride 8", 250, 7, 8, (112, 224)),
        ("100 x 256 x 7 x 7, stride 16", 100, 7, 16, (224, 448)),
        ("50 x 256 x 7 x 7, stride 32", 50, 7, 32, (448, 900)),
        ("100 x 256 x 14 x 14, stride 4", 100, 14, 4, (16, 112)),
        ("100 x 256 x 14 x 14, stride 16", 100, 14, 16, (224, 448)),
    ):
        yield _pooling(f"RoIAlign, {name}", boxes, side, stride, pixels)


def _paddle() -> Any:
    try:
        import paddle
    except ImportError as error:
        raise UnavailableError("paddle is not installed") from error
    paddle.set_device("cpu")
    return paddle


def _level(stride: int, sizes: tuple[int, ...] = ()) -> ops.ProposalLevel:
    """Scores with thirty peaks, as objects cause them, on top of noise."""
    rng = np.random.default_rng(stride)
    height, width = (-(-side // stride) for side in INPUT_HW)
    shapes = [(s * r**0.5, s / r**0.5) for s in sizes or (8 * stride,) for r in (0.5, 1, 2)]
    logits = rng.normal(-4, 1.2, (1, len(shapes), height, width))
    ys, xs = np.mgrid[:height, :width]
    for _ in range(30):
        spread = max(1.0, rng.uniform(16, 64) / stride)
        squares = (ys - rng.uniform(0, height)) ** 2 + (xs - rng.uniform(0, width)) ** 2
        logits[0, rng.integers(len(shapes))] += 7 * np.exp(-squares / (2 * spread**2))
    centres = np.stack([xs, ys], axis=-1)[:, :, None] * stride
    halves = np.array(shapes) / 2
    return ops.ProposalLevel(
        (1 / (1 + np.exp(-logits))).astype(np.float32),
        rng.normal(0, 0.3, (1, 4 * len(shapes), height, width)).astype(np.float32),
        np.concatenate([centres - halves, centres + halves], axis=-1).astype(np.float32),
    )


def _proposals(name: str, levels: list[ops.ProposalLevel], rules: dict[str, Any]) -> Case:
    def paddles(_threads: int) -> Run:
        paddle = _paddle()
        image_hw = paddle.to_tensor(np.array([INPUT_HW], np.float32))
        tensors = []
        for scores, deltas, anchors, _ in levels:
            arrays = (scores, deltas, anchors, np.ones_like(anchors))
            tensors.append([paddle.to_tensor(array) for array in arrays])
        numbers = (*rules.values(), 0.7, 0.0, 1.0, False)
        return lambda: [
            paddle._C_ops.generate_proposals(scores, deltas, image_hw, *anchors, *numbers)
            for scores, deltas, *anchors in tensors
        ]

    def ours(threads: int) -> Run:
        return lambda: ops.generate_proposals(
            levels, [INPUT_HW], nms_threshold=0.7, min_size=0.0, threads=threads, **rules
        )

    def compare(result: Any, other: Any, _contender: str) -> None:
        for mine, theirs in zip(result, other, strict=True):
            _compare_all(mine, theirs, "")

    # All scores are read, but deltas and anchors of the selected ones only.
    chosen = sum(min(rules["pre_nms_top_n"], level.scores.size) for level in levels)
    read = sum(level.scores.nbytes for level in levels) + 32 * chosen
    return Case(name, "1080p", {HPIP: ours, PADDLE: paddles}, compare, read, WANTED)


def _suppressions() -> Iterator[Case]:
    rng = np.random.default_rng(0)
    count, classes = 1000, 81
    centres, sides = rng.uniform(0, INPUT_HW[::-1], (60, 2)), rng.uniform(30, 250, (60, 2))
    heaps = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    heap = rng.integers(0, 60, count)
    boxes = np.sort(
        (heaps[heap][:, None] + rng.normal(0, 12, (count, classes, 4))).reshape(
            count, classes, 2, 2
        ),
        axis=2,
    )
    boxes = boxes.reshape(count, classes, 4).astype(np.float32)
    logits = rng.standard_normal((count, classes))
    logits[np.arange(count), rng.integers(0, 80, 60)[heap]] += rng.uniform(0, 7, count)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rcnn = {"score_threshold": 0.05, "nms_top_k": -1, "keep_top_k": 100, "nms_threshold": 0.5}
    last = {"normalized": True, "nms_eta": 1.0, "background_label": 80}
    for name, scores in (("softmax", softmax), ("all pass", rng.random((count, classes)))):
        yield _suppression(
            f"NMS, 81 x 1000, {name}",
            boxes,
            scores.astype(np.float32),
            np.array([count], np.int32),
            rcnn | last,
        )
    cells = 21504
    shared = heaps[rng.integers(0, 60, cells)] + rng.normal(0, 10, (cells, 4))
    yield _suppression(
        f"NMS, 80 x {cells}, PP-YOLOE",
        np.sort(shared.reshape(1, cells, 2, 2), axis=2).reshape(1, cells, 4).astype(np.float32),
        (rng.random((1, 80, cells)) ** 40).astype(np.float32),
        None,
        {"score_threshold": 0.01, "nms_top_k": 1000, "keep_top_k": 300, "nms_threshold": 0.7}
        | last
        | {"background_label": -1},
    )


def _suppression(
    name: str,
    boxes: np.ndarray,
    scores: np.ndarray,
    counts: np.ndarray | None,
    rules: dict[str, Any],
) -> Case:
    def paddles(_threads: int) -> Run:
        paddle = _paddle()
        tensors = [None if a is None else paddle.to_tensor(a) for a in (boxes, scores, counts)]
        return lambda: paddle._C_ops.multiclass_nms3(*tensors, *rules.values())

    def ours(threads: int) -> Run:
        return lambda: ops.multiclass_nms(boxes, scores, counts, threads=threads, **rules)

    read = scores.nbytes + 16 * int((scores > rules["score_threshold"]).sum())
    return Case(name, "1080p", {HPIP: ours, PADDLE: paddles}, _compare_all, read, WANTED)


def _pooling(name: str, count: int, side: int, stride: int, pixels: tuple[int, int]) -> Case:
    rng = np.random.default_rng(stride)
    size_hw = [-(-length // stride) for length in INPUT_HW]
    features = rng.standard_normal((1, 256, *size_hw)).astype(np.float32)
    low, high = np.log(pixels)
    sides = np.exp(rng.uniform(low, high, (count, 1)) + rng.uniform(-0.35, 0.35, (count, 2)))
    centres = rng.uniform(0, INPUT_HW[::-1], (count, 2))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    boxes = boxes.clip(0, INPUT_HW[::-1] * 2).astype(np.float32)

    def paddles(_threads: int) -> Run:
        paddle = _paddle()
        arrays = (features, boxes, np.array([count], np.int32))
        tensors = [paddle.to_tensor(array) for array in arrays]
        return lambda: paddle._C_ops.roi_align(*tensors, side, side, 1 / stride, 0, False)

    def ours(threads: int) -> Run:
        return partial(
            ops.roi_align,
            features,
            boxes,
            [count],
            output_hw=(side, side),
            spatial_scale=1 / stride,
            sampling_ratio=0,
            aligned=False,
            out=np.empty((count, 256, side, side), np.float32),
            threads=threads,
        )

    def compare(result: Any, other: Any, _contender: str) -> None:
        np.testing.assert_allclose(result, other.numpy(), rtol=0, atol=1e-5)

    moved = features.nbytes + 4 * count * 256 * side * side
    return Case(name, "1080p", {HPIP: ours, PADDLE: paddles}, compare, moved, WANTED)


def _compare_all(result: Any, other: Any, _contender: str) -> None:
    for mine, theirs in zip(result, other, strict=True):
        np.testing.assert_array_equal(mine, theirs.numpy())
