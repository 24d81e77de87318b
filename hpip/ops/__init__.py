# SPDX-License-Identifier: Apache-2.0
"""Native image, mask, RLE and detection operators on NumPy arrays; they release the GIL."""

from __future__ import annotations

from hpip.ops._build import build_info
from hpip.ops._detection import (
    Detections,
    FpnAssignment,
    ProposalLevel,
    Proposals,
    assign_fpn_levels,
    collect_fpn_proposals,
    generate_proposals,
    multiclass_nms,
    roi_align,
)
from hpip.ops._draw import map_masked_levels
from hpip.ops._encode import Upsampling, encode_masks
from hpip.ops._masks import (
    crop_boxes,
    encode_mask_crops,
    paste_masks,
    threshold_masks,
)
from hpip.ops._preprocess import normalize, preprocess, resize
from hpip.ops._rle import (
    crop_rle,
    decode_rle,
    encode_rle,
    merge_rle,
    rle_area,
    rle_intersection,
    rle_iou,
    rle_to_bbox,
    rle_union,
)

__all__ = [
    "Detections",
    "FpnAssignment",
    "ProposalLevel",
    "Proposals",
    "Upsampling",
    "assign_fpn_levels",
    "build_info",
    "collect_fpn_proposals",
    "crop_boxes",
    "crop_rle",
    "decode_rle",
    "encode_mask_crops",
    "encode_masks",
    "encode_rle",
    "generate_proposals",
    "map_masked_levels",
    "merge_rle",
    "multiclass_nms",
    "normalize",
    "paste_masks",
    "preprocess",
    "resize",
    "rle_area",
    "rle_intersection",
    "rle_iou",
    "rle_to_bbox",
    "rle_union",
    "roi_align",
    "threshold_masks",
]
