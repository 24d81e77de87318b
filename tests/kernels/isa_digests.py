# SPDX-License-Identifier: Apache-2.0
"""Digests of what the kernels return: a process per instruction set prints them for test_isa.py.

A new kernel adds a function to CASES; it takes the number of threads and yields arrays or bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator

import numpy as np

from hpip import ops
from hpip.types import (
    NormalizeStep,
    PadStrideStep,
    PermuteStep,
    PreprocessPlan,
    ResizeStep,
    RleMask,
)

Outputs = Iterator[np.ndarray | bytes]

# One pixel, odd sides, and rows both shorter and longer than any vector, at several ratios.
SIZE_PAIRS_HW = [
    ((1, 1), (5, 7)),
    ((13, 17), (29, 5)),
    ((31, 29), (17, 67)),
    ((90, 161), (64, 64)),
    ((61, 200), (40, 133)),
    ((20, 37), (41, 150)),
    ((50, 201), (40, 67)),
]
IMAGENET = NormalizeStep(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def random_image(hw: tuple[int, int], channels: int) -> np.ndarray:
    return np.random.default_rng(hw[0] * hw[1]).integers(0, 256, (*hw, channels), np.uint8)


def resized(threads: int) -> Outputs:
    for source_hw, target_hw in SIZE_PAIRS_HW:
        for channels in (1, 3, 4):
            image = random_image(source_hw, channels)
            for interpolation in ("nearest", "linear", "cubic", "area"):
                yield ops.resize(image, target_hw, interpolation, threads=threads)
                values = image.astype(np.float32) / np.float32(7)
                yield ops.resize(values, target_hw, interpolation, threads=threads)


def preprocessed(threads: int) -> Outputs:
    for source_hw, target_hw in SIZE_PAIRS_HW:
        image = random_image(source_hw, 3)
        for interpolation in ("nearest", "linear", "cubic", "area"):
            steps = [ResizeStep(target_hw, False, interpolation), IMAGENET]
            for order in (steps, steps[::-1]):
                plan = PreprocessPlan((*order, PermuteStep(), PadStrideStep(32)))
                out = np.empty((2, 3, *plan.network_hw(source_hw)), np.float32)
                ops.preprocess([image, image[::-1]], plan, out, threads=threads)
                yield out
                narrow = np.empty((1, *out.transpose(0, 2, 3, 1).shape[1:]), np.float16)
                grey = image[:, :, 0]
                ops.preprocess([grey], plan, narrow, layout="nhwc", threads=threads)
                yield narrow


def preprocessed_large(threads: int) -> Outputs:
    """Above 8 MiB, from which tensors are stored another way."""
    image = random_image((61, 90), 3)
    for interpolation in ("linear", "cubic"):
        plan = PreprocessPlan(
            (ResizeStep((801, 873), False, interpolation), IMAGENET, PermuteStep())
        )
        out = np.empty((1, 3, 801, 873), np.float32)
        ops.preprocess([image], plan, out, threads=threads)
        yield out


def encoded(threads: int) -> Outputs:
    rng = np.random.default_rng(5)
    for mask_hw, image_hw in SIZE_PAIRS_HW:
        masks = rng.standard_normal((3, *mask_hw)).astype(np.float32)
        boxes = np.sort(rng.uniform(-0.2, 1.2, (3, 2, 2)) * image_hw[::-1], axis=1).reshape(3, 4)
        for convention in ("region", "image"):
            for threshold in (0.0, 0.3):
                for mask in ops.encode_masks(
                    masks,
                    boxes,
                    image_hw,
                    convention=convention,
                    mask_threshold=threshold,
                    threads=threads,
                ):
                    yield mask.counts


def encoded_dense(threads: int) -> Outputs:
    """Widths below, at and beyond whole words, and limits that are at the ends of uint8."""
    rng = np.random.default_rng(6)
    for hw in [(1, 1), (5, 63), (9, 64), (70, 65), (33, 515), (2, 1100)]:
        mask = rng.integers(0, 256, hw, np.uint8)
        yield ops.encode_rle(mask > 127, threads=threads)
        yield ops.encode_rle(mask.T, threads=threads)
        for threshold in (-1, 0, 127.5, 254, 255):
            boxes = [[0, 0, hw[1], hw[0]]]
            for inclusive in (False, True):
                for crop in ops.encode_mask_crops(
                    mask[None],
                    boxes,
                    mask_threshold=threshold,
                    inclusive=inclusive,
                    threads=threads,
                ):
                    yield crop.counts


def encoded_upwards(threads: int) -> Outputs:
    """Cells of many pixels, with borders, and values that are not finite."""
    rng = np.random.default_rng(8)
    masks = rng.uniform(-1, 1, (4, 7, 9)).astype(np.float32)
    masks[2, 3, 4], masks[3, 2, 5] = np.nan, np.inf
    boxes = [[-7.3, 4.2, 301.7, 199.9], [3.5, -20, 90, 260.25], [0, 0, 320, 240], [1, 2, 300, 200]]
    for convention in ("region", "image"):
        for frame in ("crop", "image"):
            for mask in ops.encode_masks(
                masks,
                boxes,
                (240, 320),
                convention=convention,
                mask_threshold=0.1,
                frame=frame,
                threads=threads,
            ):
                yield mask.counts


def long_runs(threads: int) -> Outputs:
    """Strings of numbers of one to five characters."""
    rng = np.random.default_rng(3)
    for size_hw in ((61, 40), (2000, 1500)):
        mask = np.zeros(size_hw, np.uint8)
        for y, x, height, width in rng.integers(0, 60, (30, 4)):
            mask[y : y + height, x : x + width] ^= 1
        mask[-1, -30:] = 1
        yield ops.encode_rle(mask, threads=threads)
        yield ops.merge_rle(ops.encode_rle(mask), size_hw, (5, 700), (9000, 9000))


def drawn(threads: int) -> Outputs:
    rng = np.random.default_rng(9)
    image = random_image((70, 131), 3)
    runs = [rng.random((61, 100)) < share for share in (0.05, 0.5, 0.95)]
    masks = [RleMask(ops.encode_rle(run), (61, 100), (7, 30)) for run in runs]
    levels = rng.integers(0, 256, (3, 3, 256), np.uint8)
    ops.map_masked_levels(image, masks, levels, threads=threads)
    yield image


def detected(threads: int) -> Outputs:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((2, 5, 41, 67)).astype(np.float32)
    corners = np.sort(rng.uniform(-50, 600, (60, 2, 2)), axis=1)
    boxes = corners.reshape(-1, 4).astype(np.float32)
    for output_hw in ((7, 7), (14, 14), (1, 1)):
        for ratio in (0, 2):
            yield ops.roi_align(
                features,
                boxes,
                [25, 35],
                output_hw=output_hw,
                spatial_scale=0.125,
                sampling_ratio=ratio,
                threads=threads,
            )
    corners = rng.uniform(0, 200, (2, 300, 2))
    shared = np.concatenate([corners, corners + rng.uniform(5, 60, (2, 300, 2))], axis=2)
    scores = rng.random((2, 4, 300), np.float32)
    for threshold in (0.2, 0.5, 0.8):
        yield from ops.multiclass_nms(
            shared.astype(np.float32),
            scores,
            score_threshold=0.05,
            nms_threshold=threshold,
            threads=threads,
        )
    anchors = np.concatenate([corners[0] - 20, corners[0] + 20], axis=1).astype(np.float32)
    deltas = rng.normal(0, 0.3, (2, 12, 10, 10)).astype(np.float32)
    level = ops.ProposalLevel(scores[:, :3, :100].reshape(2, 3, 10, 10), deltas, anchors)
    for proposals in ops.generate_proposals([level], [[200, 200]] * 2, threads=threads):
        yield from proposals


CASES: dict[str, Callable[[int], Outputs]] = {
    "resize": resized,
    "preprocess": preprocessed,
    "preprocess, large": preprocessed_large,
    "encode_masks": encoded,
    "encode_masks, upwards": encoded_upwards,
    "encode dense": encoded_dense,
    "encode, long runs": long_runs,
    "draw": drawn,
    "detect": detected,
}


def digests(threads: int) -> dict[str, str]:
    """One digest per case, over dtypes, shapes and bits."""
    found = {}
    for name, case in CASES.items():
        digest = hashlib.sha256()
        for output in case(threads):
            if isinstance(output, bytes):
                digest.update(output)
            else:
                digest.update(f"{output.dtype} {output.shape}".encode())
                digest.update(np.ascontiguousarray(output).tobytes())
        found[name] = digest.hexdigest()
    return found


if __name__ == "__main__":
    print(json.dumps({"isa": ops.build_info()["isa"], "digests": digests(1)}))
