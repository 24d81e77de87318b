# SPDX-License-Identifier: Apache-2.0
"""Native implementations of the operators between the segments of a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import hpip.ops as ops
from hpip.types import AnyArray, NativeStep


def run_native_step(
    step: NativeStep, inputs: Sequence[AnyArray], *, threads: int
) -> list[AnyArray]:
    """Run one native step.

    Args:
        step: operator and attributes.
        inputs: one array for each of `step.inputs`.
        threads: CPU threads of the kernels.

    Returns:
        One array for each of `step.outputs`.

    Raises:
        InvalidInputError: the inputs have wrong shapes or dtypes, or values that are not finite.
    """
    return _KINDS[step.kind](step.attributes, inputs, threads)


def _generate_proposals(
    attributes: Mapping[str, Any], inputs: Sequence[AnyArray], threads: int
) -> list[AnyArray]:
    """Map scores, deltas and anchors of all levels and image sizes (B, 2) to boxes and counts."""
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
    # The graph compares counts with the dimensions of shapes, which are int64.
    return [found.boxes_xyxy, found.counts.astype(np.int64)]


def _repeat_rows(
    attributes: Mapping[str, Any], inputs: Sequence[AnyArray], threads: int
) -> list[AnyArray]:
    """Repeat row i of (B, C) as often as the count i of (B,) says."""
    rows, counts = inputs
    return [np.repeat(rows, counts, axis=0)]


def _roi_align(
    attributes: Mapping[str, Any], inputs: Sequence[AnyArray], threads: int
) -> list[AnyArray]:
    """Map feature maps (lowest level first), boxes and counts to the bins of each box, in order."""
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
    """Gather the rows of (N, C) at the indices (K, 1)."""
    rows, indices = inputs
    return [rows[indices.reshape(-1)]]


def _multiclass_nms(
    attributes: Mapping[str, Any], inputs: Sequence[AnyArray], threads: int
) -> list[AnyArray]:
    """Map boxes and scores to rows of class, score and box, their indices, and counts per image.

    Inputs are boxes (N, C, 4), scores (N, C) and counts, or boxes (B, M, 4) and scores (B, C, M).
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
