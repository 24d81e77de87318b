# SPDX-License-Identifier: Apache-2.0
"""The work between the dense parts of a split model: each kind of `NativeStep` and what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import hpip.ops as ops
from hpip.types import AnyArray, NativeStep


def run_native_step(
    step: NativeStep, inputs: Sequence[AnyArray], *, threads: int
) -> list[AnyArray]:
    """Do one step.

    Args:
        step: what to do.
        inputs: one array for each of `step.inputs`.
        threads: CPU threads of the kernels.

    Returns:
        One array for each of `step.outputs`.

    Raises:
        InvalidInputError: an engine handed over arrays that do not fit, or that are not finite.
    """
    return _KINDS[step.kind](step.attributes, inputs, threads)


def _generate_proposals(
    attributes: Mapping[str, Any], inputs: Sequence[AnyArray], threads: int
) -> list[AnyArray]:
    """Scores, deltas, then anchors of each level, then (B, 2) image sizes; boxes and counts."""
    count = attributes["levels"]
    scores, deltas, anchors = (inputs[i * count : (i + 1) * count] for i in range(3))
    levels = ops.generate_proposals(
        [ops.ProposalLevel(*level) for level in zip(scores, deltas, anchors, strict=True)],
        inputs[-1],
        pre_nms_top_n=attributes["pre_nms_top_n"],
        post_nms_top_n=attributes["post_nms_top_n"],
        nms_threshold=attributes["nms_threshold"],
        min_size=attributes["min_size"],
        eta=attributes["eta"],
        pixel_offset=attributes["pixel_offset"],
        threads=threads,
    )
    top_n = attributes["top_n"]
    found = ops.collect_fpn_proposals(levels, top_n) if top_n else levels[0]
    # The exports count with the lengths of shapes, which are int64.
    return [found.boxes_xyxy, found.counts.astype(np.int64)]


def _repeat_rows(
    attributes: Mapping[str, Any], inputs: Sequence[AnyArray], threads: int
) -> list[AnyArray]:
    """Row i of (B, C), as often as the count i of (B,) says."""
    rows, counts = inputs
    return [np.repeat(rows, counts, axis=0)]


def _roi_align(
    attributes: Mapping[str, Any], inputs: Sequence[AnyArray], threads: int
) -> list[AnyArray]:
    """Feature maps, lowest level first, then boxes and counts; bins of each box in its order."""
    *maps, boxes, counts = inputs
    boxes = np.ascontiguousarray(boxes[:, -4:])
    options = {
        "output_hw": (attributes["pooled_height"], attributes["pooled_width"]),
        "sampling_ratio": attributes["sampling_ratio"],
        "aligned": attributes["aligned"],
        "threads": threads,
    }
    scales = attributes["spatial_scales"]
    if "min_level" not in attributes:
        pooled = ops.roi_align(maps[0], boxes, counts, spatial_scale=scales[0], **options)
        return [pooled]
    levels = ops.assign_fpn_levels(
        boxes,
        counts,
        min_level=attributes["min_level"],
        max_level=attributes["max_level"],
        refer_level=attributes["refer_level"],
        refer_scale=attributes["refer_scale"],
        pixel_offset=attributes["pixel_offset"],
    )
    out = np.empty((len(boxes), maps[0].shape[1], *options["output_hw"]), np.float32)
    parts = zip(maps, scales, levels.boxes_xyxy, levels.rows, levels.counts, strict=True)
    for features, scale, chosen, rows, number in parts:
        ops.roi_align(
            features, chosen, number, spatial_scale=scale, out=out, out_rows=rows, **options
        )
    return [out]


def _gather_rows(
    attributes: Mapping[str, Any], inputs: Sequence[AnyArray], threads: int
) -> list[AnyArray]:
    """Rows of (N, C) at the indices (K, 1)."""
    rows, indices = inputs
    return [rows[indices.reshape(-1)]]


def _multiclass_nms(
    attributes: Mapping[str, Any], inputs: Sequence[AnyArray], threads: int
) -> list[AnyArray]:
    """Boxes (N, C, 4), scores (N, C) and counts, or boxes (B, M, 4) and scores (B, C, M).

    Rows of class, score and box, their indices and counts.
    """
    found = ops.multiclass_nms(*inputs, **attributes, threads=threads)
    return [found.rows, found.indices, found.counts]


_Kind = Callable[[Mapping[str, Any], Sequence[AnyArray], int], list[AnyArray]]

_KINDS: dict[str, _Kind] = {
    "generate_proposals": _generate_proposals,
    "repeat_rows": _repeat_rows,
    "roi_align": _roi_align,
    "gather_rows": _gather_rows,
    "multiclass_nms": _multiclass_nms,
}
