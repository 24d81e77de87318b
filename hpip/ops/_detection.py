# SPDX-License-Identifier: Apache-2.0
"""What lies between the dense parts of a two-stage detector, with the answers of Paddle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

import hpip._core as _core
from hpip.errors import InvalidInputError
from hpip.ops._arguments import (
    boxes_array,
    float32_array,
    int32,
    int_pair,
    real_array,
    thread_count,
    whole_numbers,
)
from hpip.types import Float32Array, Int32Array, Int64Array


class ProposalLevel(NamedTuple):
    """What a region proposal network says on one level of a pyramid.

    All float32. `scores` (B, A, H, W); `bbox_deltas` (B, 4A, H, W) with dx, dy, dw, dh of each of
    the A anchors; `anchors` and `variances` (H, W, A, 4) or (HWA, 4). None stands for variances
    of 1.
    """

    scores: Float32Array
    bbox_deltas: Float32Array
    anchors: Float32Array
    variances: Float32Array | None = None


class Proposals(NamedTuple):
    """Proposals of a batch: `boxes_xyxy` (R, 4), `scores` (R, 1), and `counts` (B,) int32.

    Those of the first image come first.
    """

    boxes_xyxy: Float32Array
    scores: Float32Array
    counts: Int32Array


class Detections(NamedTuple):
    """What suppression keeps of a batch.

    `rows` (K, 6) float32 hold class, score and box; `indices` (K, 1) int32 say where each comes
    from; `counts` (B,) int32 how many of them each image has, the first image's first.
    """

    rows: Float32Array
    indices: Int32Array
    counts: Int32Array


class FpnAssignment(NamedTuple):
    """Boxes by level, lowest level first, each level in the order of the boxes given.

    For each level: `boxes_xyxy` (n, 4), `rows` (n,) of the boxes given, `counts` (B,) int32 for
    each image. `restore_index` (N, 1) int32 says where each box lies once the levels are
    concatenated.
    """

    boxes_xyxy: list[Float32Array]
    rows: list[Int64Array]
    counts: list[Int32Array]
    restore_index: Int32Array


def generate_proposals(
    levels: Sequence[ProposalLevel],
    image_hw: ArrayLike,
    *,
    pre_nms_top_n: int = 6000,
    post_nms_top_n: int = 1000,
    nms_threshold: float = 0.5,
    min_size: float = 0.1,
    eta: float = 1.0,
    pixel_offset: bool = False,
    threads: int = 1,
) -> list[Proposals]:
    """Turn scores and deltas of anchors into boxes, best first, on each level by itself.

    Args:
        levels: one or more, see `ProposalLevel`; B is the same for all and may be 0.
        image_hw: (B, 2) height and width that boxes are clipped to, in the anchors' pixels.
        pre_nms_top_n: anchors of an image and level that are decoded; 0 or less: all.
        post_nms_top_n: boxes that remain of them; 0 or less: all.
        nms_threshold: above 0; a box that overlaps a better one by more is dropped.
        min_size: shorter boxes are dropped; at least 1 is taken, as Paddle does.
        eta: below 1 it is multiplied into a threshold above 0.5 with every box that is kept.
        pixel_offset: boxes include their last pixel.
        threads: at least 1; levels and images are shared out among them.

    Returns:
        One `Proposals` for each level. An image none of whose boxes is large enough has one box
        of zeros with the score 0.

    Raises:
        InvalidInputError: wrong rank, dtype, size or number; NaN scores, or deltas that make no
            box of a chosen anchor.

    Note:
        Releases the GIL. Same bits for every number of threads. Row for row what Paddle's CPU
        operator `generate_proposals` returns; equal scores come in the order of the C++ library's
        unstable sorting, which is Paddle's where both are built with the same library.
    """
    return [
        Proposals(*arrays)
        for arrays in _core.generate_proposals(
            [_level_arrays(level) for level in levels],
            real_array("image_hw", image_hw).astype(np.float32, order="C"),
            int32("pre_nms_top_n", pre_nms_top_n),
            int32("post_nms_top_n", post_nms_top_n),
            nms_threshold,
            min_size,
            eta,
            pixel_offset,
            thread_count(threads),
        )
    ]


def collect_fpn_proposals(levels: Sequence[Proposals], top_n: int) -> Proposals:
    """Join the levels of each image and keep the best.

    As exported networks do, with `concat`, `topk` and `gather` for each image: up to `top_n` boxes
    stay in the order of the levels, of more the best `top_n` are kept, best first.

    Args:
        levels: at least one, all of the same number of images; see `generate_proposals`.
        top_n: at least 1.

    Returns:
        The boxes of all images.

    Raises:
        InvalidInputError: no levels, wrong rank, dtype or counts, NaN scores.
    """
    if not levels:
        raise InvalidInputError("levels: expected at least one, received none")
    checked = [_checked_proposals(level) for level in levels]
    if len({len(level.counts) for level in checked}) != 1:
        raise InvalidInputError(
            "levels: expected the same number of images on all, received "
            f"{[len(level.counts) for level in checked]}"
        )
    ends = [np.cumsum(level.counts) for level in checked]
    top_n = int32("top_n", top_n)
    images = []
    for image in range(len(checked[0].counts)):
        parts = [
            slice(int(end[image] - level.counts[image]), int(end[image]))
            for level, end in zip(checked, ends, strict=True)
        ]
        pairs = list(zip(checked, parts, strict=True))
        boxes = np.concatenate([level.boxes_xyxy[part] for level, part in pairs])
        scores = np.concatenate([level.scores[part] for level, part in pairs])
        best = _core.top_scores(scores[:, 0], top_n)
        images.append((boxes[best], scores[best]))
    return Proposals(
        np.concatenate([boxes for boxes, _ in images] or [np.empty((0, 4), np.float32)]),
        np.concatenate([scores for _, scores in images] or [np.empty((0, 1), np.float32)]),
        np.array([len(boxes) for boxes, _ in images], np.int32),
    )


def multiclass_nms(
    boxes_xyxy: ArrayLike,
    scores: ArrayLike,
    counts: ArrayLike | None = None,
    *,
    score_threshold: float,
    nms_top_k: int = -1,
    keep_top_k: int = -1,
    nms_threshold: float = 0.5,
    normalized: bool = True,
    nms_eta: float = 1.0,
    background_label: int = -1,
    threads: int = 1,
) -> Detections:
    """Drop boxes that overlap a better one of the same class.

    Args:
        boxes_xyxy: float32 (B, M, 4), shared by all classes; with `counts` (N, C, 4), a box for
            each class. Those that `scores` picks must be finite; nothing else is read.
        scores: float32 (B, C, M); with `counts` (N, C). NaN is below every threshold.
        counts: (B,) rows of each image, which follow each other.
        score_threshold: boxes with a score above it take part.
        nms_top_k: boxes of a class that take part, the best; negative: all.
        keep_top_k: boxes of an image that remain, the best; negative: all.
        nms_threshold: at least 0; overlap, as intersection over union, that is still allowed.
        normalized: boxes do not include their last pixel.
        nms_eta: below 1 it is multiplied into a threshold above 0.5 with every box that is kept.
        background_label: class that is left out; -1: none.
        threads: at least 1; classes are shared out among them.

    Returns:
        `Detections`, by image and class. Within a class they come by score, with `counts` by row.
        `indices` count the boxes of the batch: image * M + box, with `counts` row * C + class.

    Raises:
        InvalidInputError: wrong rank, dtype, size or number; boxes that are not finite.

    Note:
        Releases the GIL. Same bits for every number of threads. Row for row what Paddle's CPU
        operator `multiclass_nms3` returns.
    """
    return Detections(
        *_core.multiclass_nms(
            float32_array("boxes_xyxy", boxes_xyxy),
            float32_array("scores", scores),
            None if counts is None else _counts(counts),
            score_threshold,
            int32("nms_top_k", nms_top_k),
            int32("keep_top_k", keep_top_k),
            nms_threshold,
            normalized,
            nms_eta,
            int32("background_label", background_label),
            thread_count(threads),
        )
    )


def assign_fpn_levels(
    boxes_xyxy: ArrayLike,
    counts: ArrayLike,
    *,
    min_level: int = 2,
    max_level: int = 5,
    refer_level: int = 4,
    refer_scale: int = 224,
    pixel_offset: bool = False,
) -> FpnAssignment:
    """Share boxes out among the levels of a pyramid by their size.

    A box whose area is that of a square of `refer_scale` belongs to `refer_level`; a level more
    for each doubling of the side.

    Args:
        boxes_xyxy: (N, 4) float32 of finite area; N may be 0.
        counts: (B,) boxes of each image, which follow each other.
        min_level: 0 to `max_level`; smaller boxes belong to it too.
        max_level: below 64; larger boxes belong to it too.
        refer_level: see above.
        refer_scale: at least 1.
        pixel_offset: boxes include their last pixel.

    Returns:
        See `FpnAssignment`.

    Raises:
        InvalidInputError: wrong rank, dtype, count or number; boxes without a finite area.

    Note:
        Releases the GIL. The levels, orders and counts of Paddle's CPU operator
        `distribute_fpn_proposals`.
    """
    boxes = boxes_array(boxes_xyxy)
    rows, level_counts, restore_index = _core.assign_fpn_levels(
        boxes,
        _counts(counts),
        int32("min_level", min_level),
        int32("max_level", max_level),
        int32("refer_level", refer_level),
        int32("refer_scale", refer_scale),
        pixel_offset,
    )
    return FpnAssignment([boxes[chosen] for chosen in rows], rows, level_counts, restore_index)


def roi_align(
    features: ArrayLike,
    boxes_xyxy: ArrayLike,
    counts: ArrayLike,
    *,
    output_hw: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = True,
    out: Float32Array | None = None,
    out_rows: ArrayLike | None = None,
    threads: int = 1,
) -> Float32Array:
    """Pool a fixed number of bins from the part of a feature map inside each box.

    A bin is the mean of bilinear samples on a regular grid.

    Args:
        features: (B, C, H, W) float32.
        boxes_xyxy: (N, 4) in pixels of the network's input, finite; N may be 0.
        counts: (B,) boxes of each image, which follow each other.
        output_hw: bins (h, w), each 1 to 1024.
        spatial_scale: cells of the map for each pixel.
        sampling_ratio: samples of a bin on each axis, at most 1024; 0 or less: the length of the
            bin in cells, rounded up.
        aligned: shift boxes by half a cell; else a side shorter than a cell counts as one.
        out: (R, C, h, w) float32, C-contiguous, to fill; allocated with N rows when None.
        out_rows: N different rows of `out` for the boxes in their order; rows that are not named
            stay as they are. With `FpnAssignment.rows` the levels of a pyramid fill one `out`.
        threads: at least 1; channels are shared out among them.

    Returns:
        (N, C, h, w) float32; `out` itself when given.

    Raises:
        InvalidInputError: wrong rank, dtype, size, count or number; boxes that are not finite or
            lie a million cells away.

    Note:
        Releases the GIL. Same bits for every number of threads. Within rounding what Paddle's CPU
        operator `roi_align` returns, except for a bin without samples, which an aligned box without
        width or height has when `sampling_ratio` is 0 or less: 0 here, NaN in Paddle.
    """
    maps = float32_array("features", features)
    boxes = boxes_array(boxes_xyxy)
    bins_hw = int_pair("output_hw", output_hw, minimum=1)
    target = out
    if target is None:
        if out_rows is not None:
            raise InvalidInputError("out_rows: expected an out to go with it, received none")
        if maps.ndim != 4 or boxes.ndim != 2:
            raise InvalidInputError(
                "features, boxes_xyxy: expected (B, C, H, W) and (N, 4), received arrays of shape "
                f"{maps.shape} and {boxes.shape}"
            )
        target = np.empty((len(boxes), maps.shape[1], *bins_hw), np.float32)
    elif target.shape[2:] != bins_hw:
        raise InvalidInputError(
            f"out: expected (R, C, {bins_hw[0]}, {bins_hw[1]}) as output_hw says, received an "
            f"array of shape {target.shape}"
        )
    _core.roi_align(
        maps,
        boxes,
        _counts(counts),
        spatial_scale,
        int32("sampling_ratio", sampling_ratio),
        aligned,
        None if out_rows is None else whole_numbers("out_rows", out_rows),
        target,
        thread_count(threads),
    )
    return target


def _level_arrays(
    level: ProposalLevel,
) -> tuple[Float32Array, Float32Array, Float32Array, Float32Array | None]:
    scores, deltas, anchors, variances = level
    return (
        float32_array("scores", scores),
        float32_array("bbox_deltas", deltas),
        _anchor_rows("anchors", anchors),
        None if variances is None else _anchor_rows("variances", variances),
    )


def _anchor_rows(name: str, value: ArrayLike) -> Float32Array:
    array = float32_array(name, value)
    if array.ndim not in (2, 4) or array.shape[-1] != 4:
        raise InvalidInputError(
            f"{name}: expected (H, W, A, 4) or (HWA, 4), received an array of shape {array.shape}"
        )
    return array.reshape(-1, 4)


def _checked_proposals(level: Proposals) -> Proposals:
    boxes, scores = (
        float32_array("boxes_xyxy", level.boxes_xyxy),
        float32_array("scores", level.scores),
    )
    counts = _counts(level.counts)
    if boxes.shape != (len(scores), 4) or scores.shape != (len(boxes), 1):
        raise InvalidInputError(
            "levels: expected boxes (R, 4) and scores (R, 1), received arrays of shape "
            f"{boxes.shape} and {scores.shape}"
        )
    if counts.ndim != 1 or (counts < 0).any() or counts.sum() != len(boxes):
        raise InvalidInputError(
            f"counts: expected (B,) with a sum of {len(boxes)}, received {counts.tolist()}"
        )
    return Proposals(boxes, scores, counts.astype(np.int32))


def _counts(value: ArrayLike) -> Int64Array:
    return whole_numbers("counts", value)
