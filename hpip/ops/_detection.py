# SPDX-License-Identifier: Apache-2.0
"""Operators of two-stage detectors, with the results of Paddle's CPU operators."""

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
    integer_array,
    real_array,
    thread_count,
)
from hpip.types import Float32Array, Int32Array, Int64Array


class ProposalLevel(NamedTuple):
    """Outputs of a region proposal network on one level of a feature pyramid.

    All float32. `scores` (B, A, H, W); `bbox_deltas` (B, 4A, H, W) with dx, dy, dw, dh of each of
    the A anchors; `anchors` and `variances` (H, W, A, 4) or (HWA, 4). `variances` of None means 1.
    """

    scores: Float32Array
    bbox_deltas: Float32Array
    anchors: Float32Array
    variances: Float32Array | None = None


class Proposals(NamedTuple):
    """Proposals of a batch, in order of the images.

    `boxes_xyxy` (R, 4), `scores` (R, 1), and `counts` (B,) int32, the number per image.
    """

    boxes_xyxy: Float32Array
    scores: Float32Array
    counts: Int32Array


class Detections(NamedTuple):
    """Result of NMS for a batch, in order of the images.

    `rows` (K, 6) float32 hold class, score and box; `indices` (K, 1) int32 are the indices of the
    input boxes; `counts` (B,) int32 is the number of rows per image.
    """

    rows: Float32Array
    indices: Int32Array
    counts: Int32Array


class FpnAssignment(NamedTuple):
    """Boxes by FPN level, lowest level first; within a level in the order of the input boxes.

    For each level: `boxes_xyxy` (n, 4), `rows` (n,), the indices of the input boxes, and `counts`
    (B,) int32 per image. `restore_index` (N, 1) int32 is the index of each input box in the
    concatenated levels.
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
    """Decode anchors to region proposals and apply NMS, for each level separately.

    Args:
        levels: one or more, see `ProposalLevel`; B must be equal for all and may be 0.
        image_hw: (B, 2) height and width to clip boxes to, in the coordinates of the anchors.
        pre_nms_top_n: maximum number of anchors before NMS per image and level; 0 or less: all.
        post_nms_top_n: maximum number of boxes after NMS per image and level; 0 or less: all.
        nms_threshold: above 0; maximum IoU with a box of higher score.
        min_size: minimum side of a box in pixels; values below 1 are treated as 1, like in Paddle.
        eta: adaptive NMS: if below 1, multiplied into a threshold above 0.5 per kept box.
        pixel_offset: add 1 pixel to box sides (legacy box convention).
        threads: at least 1; levels and images are distributed among them.

    Returns:
        One `Proposals` per level, sorted by descending score within an image. An image without
        a box of the minimum size has one box of zeros with score 0.

    Raises:
        InvalidInputError: an argument has an invalid rank, dtype, size or value; scores are NaN, or
            a decoded box is not finite.

    Note:
        Releases the GIL. The result does not depend on the number of threads. It equals that of
        Paddle's CPU operator `generate_proposals`. The order of equal scores is that of the C++
        library's unstable sort: Paddle's if both are built with the same library.
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
    """Concatenate the proposals of all levels per image, and select the best.

    Like `concat`, `topk` and `gather` in exported models: up to `top_n` boxes stay in the order of
    the levels; of more boxes, the `top_n` with the highest scores remain, sorted by score.

    Args:
        levels: at least one, all with the same number of images; see `generate_proposals`.
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
    """Non-maximum suppression (NMS) per class.

    Args:
        boxes_xyxy: float32 (B, M, 4), shared by all classes; with `counts`, (N, C, 4), one box per
            class. Boxes that pass the score threshold must be finite; others are not read.
        scores: float32 (B, C, M); with `counts`, (N, C). NaN is below every threshold.
        counts: (B,) number of consecutive rows per image.
        score_threshold: boxes need a score above it.
        nms_top_k: maximum number of boxes per class before NMS; negative: all.
        keep_top_k: maximum number of boxes per image after NMS; negative: all.
        nms_threshold: at least 0; maximum IoU with a box of higher score.
        normalized: box sides are x1 - x0 and y1 - y0; False adds 1 pixel.
        nms_eta: adaptive NMS: if below 1, multiplied into a threshold above 0.5 per kept box.
        background_label: class to ignore; -1: none.
        threads: at least 1; classes are distributed among them.

    Returns:
        `Detections`, sorted by image and class; within a class by score, or with `counts` by row.
        `indices` are image * M + box, or with `counts` row * C + class.

    Raises:
        InvalidInputError: an argument has an invalid rank, dtype, size or value; boxes are not
            finite.

    Note:
        Releases the GIL. The result does not depend on the number of threads. It equals that of
        Paddle's CPU operator `multiclass_nms3`.
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
    """Assign boxes to the levels of a feature pyramid (FPN) by their size.

    A box whose area equals that of a square with side `refer_scale` belongs to `refer_level`; each
    doubling of the side is one level more.

    Args:
        boxes_xyxy: (N, 4) float32 of finite area; N may be 0.
        counts: (B,) number of consecutive boxes per image.
        min_level: 0 to `max_level`; includes smaller boxes.
        max_level: below 64; includes larger boxes.
        refer_level: see above.
        refer_scale: see above; at least 1.
        pixel_offset: add 1 pixel to box sides (legacy box convention).

    Returns:
        See `FpnAssignment`.

    Raises:
        InvalidInputError: an argument has an invalid rank, dtype or value; boxes have no finite
            area.

    Note:
        Releases the GIL. The result equals that of Paddle's CPU operator
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
    """RoIAlign: pool the features inside each box to a fixed size.

    Each output element is the mean of bilinear samples on a regular grid in its bin.

    Args:
        features: (B, C, H, W) float32.
        boxes_xyxy: (N, 4) finite, in pixels of the network's input; N may be 0.
        counts: (B,) number of consecutive boxes per image.
        output_hw: output size (h, w), each 1 to 1024.
        spatial_scale: size of the feature map relative to the network's input, such as 1 / 16.
        sampling_ratio: number of samples per bin and axis, at most 1024; 0 or less: adaptive, the
            side of the bin in feature map cells, rounded up.
        aligned: shift boxes by -0.5 cells, for pixel alignment; if False, sides are at least one
            cell.
        out: output array, (R, C, h, w) float32, C-contiguous; None allocates one with N rows.
        out_rows: N different row indices of `out` for the boxes; other rows are not modified. With
            `FpnAssignment.rows`, all levels of a pyramid can share one `out`.
        threads: at least 1; channels are distributed among them.

    Returns:
        (N, C, h, w) float32; `out` itself when given.

    Raises:
        InvalidInputError: an argument has an invalid rank, dtype, size or value; boxes are not
            finite or more than a million cells away.

    Note:
        Releases the GIL. The result does not depend on the number of threads. It equals that of
        Paddle's CPU operator `roi_align` within rounding, with one exception: bins without samples
        (an aligned box without width or height, with an adaptive `sampling_ratio`) are 0, and NaN
        in Paddle.
    """
    maps = float32_array("features", features)
    boxes = boxes_array(boxes_xyxy)
    bins_hw = int_pair("output_hw", output_hw, minimum=1)
    target = out
    if target is None:
        if out_rows is not None:
            raise InvalidInputError("out_rows: expected together with out, received no out")
        if maps.ndim != 4 or boxes.ndim != 2:
            raise InvalidInputError(
                "features, boxes_xyxy: expected (B, C, H, W) and (N, 4), received arrays of shape "
                f"{maps.shape} and {boxes.shape}"
            )
        target = np.empty((len(boxes), maps.shape[1], *bins_hw), np.float32)
    elif target.shape[2:] != bins_hw:
        raise InvalidInputError(
            f"out: expected (R, C, {bins_hw[0]}, {bins_hw[1]}) for this output_hw, received an "
            f"array of shape {target.shape}"
        )
    _core.roi_align(
        maps,
        boxes,
        _counts(counts),
        spatial_scale,
        int32("sampling_ratio", sampling_ratio),
        aligned,
        None if out_rows is None else integer_array("out_rows", out_rows),
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
    return integer_array("counts", value)
