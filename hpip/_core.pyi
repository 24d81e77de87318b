# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence

from hpip.types import AnyArray, Float32Array, Int32Array, Int64Array, UInt8Array

__version__: str

def build_info() -> dict[str, str]: ...
def resize_u8(image: UInt8Array, interpolation: str, out: UInt8Array, threads: int) -> None: ...
def resize_f32(
    image: Float32Array, interpolation: str, out: Float32Array, threads: int
) -> None: ...
def normalize_u8(
    image: UInt8Array,
    factor: Sequence[float],
    offset: Sequence[float],
    out: Float32Array,
    threads: int,
) -> None: ...
def normalize_f32(
    image: Float32Array,
    factor: Sequence[float],
    offset: Sequence[float],
    out: Float32Array,
    threads: int,
) -> None: ...
def preprocess_f32(
    images: Sequence[UInt8Array],
    resized_hw: Sequence[tuple[int, int]],
    interpolation: str,
    factor: Sequence[float],
    offset: Sequence[float],
    normalize_first: bool,
    channel_order: str,
    out: AnyArray,
    layout: str,
    threads: int,
) -> None: ...
def preprocess_f16(
    images: Sequence[UInt8Array],
    resized_hw: Sequence[tuple[int, int]],
    interpolation: str,
    factor: Sequence[float],
    offset: Sequence[float],
    normalize_first: bool,
    channel_order: str,
    out: AnyArray,
    layout: str,
    threads: int,
) -> None: ...
def crop_boxes(boxes_xyxy: Float32Array, image_hw: tuple[int, int]) -> Int64Array: ...
def threshold_masks(
    values: AnyArray, mask_threshold: float, inclusive: bool, out: UInt8Array, threads: int
) -> None: ...
def paste_masks(
    masks: AnyArray,
    boxes_xyxy: Float32Array | None,
    image_hw: tuple[int, int],
    convention: str,
    mask_threshold: float,
    inclusive: bool,
    out: UInt8Array,
    threads: int,
) -> None: ...
def paste_mask_crops(
    masks: AnyArray,
    boxes_xyxy: Float32Array,
    image_hw: tuple[int, int],
    convention: str,
    mask_threshold: float,
    inclusive: bool,
    threads: int,
) -> list[UInt8Array]: ...
def encode_rle(mask: AnyArray, threads: int) -> bytes: ...
def encode_mask_crops(
    masks: AnyArray,
    boxes_xyxy: Float32Array,
    indices: Int64Array,
    mask_threshold: float,
    inclusive: bool,
    threads: int,
) -> tuple[list[bytes], Int64Array]: ...
def encode_masks(
    masks: Float32Array,
    boxes_xyxy: Float32Array | None,
    indices: Int64Array,
    image_hw: tuple[int, int],
    convention: str,
    mask_threshold: float,
    inclusive: bool,
    whole_image: bool,
    upsampled_hw: tuple[int, int],
    kept_hw: tuple[int, int],
    windows_xyxy: Int64Array | None,
    threads: int,
) -> tuple[list[bytes], Int64Array]: ...
def decode_rle(counts: bytes, size_hw: tuple[int, int], threads: int) -> UInt8Array: ...
def rle_area(counts: bytes) -> int: ...
def rle_to_bbox(counts: bytes, size_hw: tuple[int, int]) -> tuple[int, int, int, int]: ...
def merge_rle(
    counts: bytes,
    crop_hw: tuple[int, int],
    offset_yx: tuple[int, int],
    image_hw: tuple[int, int],
) -> bytes: ...
def crop_rle(
    counts: bytes,
    size_hw: tuple[int, int],
    offset_yx: tuple[int, int],
    crop_hw: tuple[int, int],
) -> bytes: ...
def combine_rle(counts: Sequence[bytes], size_hw: tuple[int, int], intersect: bool) -> bytes: ...
def rle_shared_areas(
    counts: Sequence[bytes], others: Sequence[bytes], size_hw: tuple[int, int]
) -> Int64Array: ...
def map_masked_levels(
    image: UInt8Array,
    counts: Sequence[bytes],
    crop_hw: Sequence[tuple[int, int]],
    offset_yx: Sequence[tuple[int, int]],
    levels: UInt8Array,
    threads: int,
) -> None: ...
def generate_proposals(
    levels: Sequence[tuple[Float32Array, Float32Array, Float32Array, Float32Array | None]],
    image_hw: Float32Array,
    pre_nms_top_n: int,
    post_nms_top_n: int,
    nms_threshold: float,
    min_size: float,
    eta: float,
    pixel_offset: bool,
    threads: int,
) -> list[tuple[Float32Array, Float32Array, Int32Array]]: ...
def top_scores(scores: Float32Array, top_n: int) -> Int64Array: ...
def multiclass_nms(
    boxes_xyxy: Float32Array,
    scores: Float32Array,
    counts: Int64Array | None,
    score_threshold: float,
    nms_top_k: int,
    keep_top_k: int,
    nms_threshold: float,
    normalized: bool,
    nms_eta: float,
    background_label: int,
    threads: int,
) -> tuple[Float32Array, Int32Array, Int32Array]: ...
def assign_fpn_levels(
    boxes_xyxy: Float32Array,
    counts: Int64Array,
    min_level: int,
    max_level: int,
    refer_level: int,
    refer_scale: int,
    pixel_offset: bool,
) -> tuple[list[Int64Array], list[Int32Array], Int32Array]: ...
def roi_align(
    features: Float32Array,
    boxes_xyxy: Float32Array,
    counts: Int64Array,
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    out_rows: Int64Array | None,
    out: Float32Array,
    threads: int,
) -> None: ...
