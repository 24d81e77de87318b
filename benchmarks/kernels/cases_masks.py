# SPDX-License-Identifier: Apache-2.0
"""Conversion of low-resolution masks to RLE, and drawing of masks on an image."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco

from benchmarks.kernels.case import HPIP, Case, Run, UnavailableError
from benchmarks.kernels.images import IMAGES_HW, synthetic_image
from hpip import ops
from hpip.results.drawing import draw_instances
from hpip.types import Float32Array, RleMask, UInt8Array

GRID = 160
"""Side of Mask-RT-DETR's mask logits at an input of 640 x 640."""


def cases() -> Iterator[Case]:
    """The mask kernels of benchmarks/README.md, and variants of them."""
    for count in (0, 1, 10, 100):
        yield _logits_case(count, (1600, 2000))
    yield _logits_case(10, (3200, 4000))
    yield _regions_case(100)
    for name, size_hw in IMAGES_HW.items():
        yield _dense_case(name, size_hw)
    for count in (1, 10):
        yield _overlay_case(count)


def blob(size_hw: tuple[int, int], seed: int, radius: float = 0.42) -> Float32Array:
    """Logits of an irregular shape that fills most of the array, but not its border."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    y = (np.arange(height)[:, None] + 0.5) / height - 0.5
    x = (np.arange(width) + 0.5) / width - 0.5
    angle, distance = np.arctan2(y, x), np.hypot(y, x)
    edge = np.full(size_hw, radius)
    for lobes in (2, 3, 5, 9):
        edge += rng.uniform(0.005, 0.03) * np.sin(lobes * angle + rng.uniform(0, 6))
    return np.asarray(16 * (np.minimum(edge, 0.47) - distance), np.float32)


def _logits_case(count: int, image_hw: tuple[int, int]) -> Case:
    """Boxes of a quarter of the image's sides, aligned to logits and pixels."""
    rng = np.random.default_rng(count)
    cells = GRID // 4
    scale_y, scale_x = image_hw[0] / GRID, image_hw[1] / GRID
    crop_hw = round(cells * scale_y), round(cells * scale_x)
    logits = np.full((count, GRID, GRID), -8, np.float32)
    corners = rng.integers(1, (GRID - cells) // 2, (count, 2)) * 2
    for n, (y, x) in enumerate(corners):
        logits[n, y : y + cells, x : x + cells] = blob((cells, cells), n)
    tops = corners * (scale_y, scale_x)
    boxes = np.concatenate([tops[:, ::-1], (tops + crop_hw)[:, ::-1]], 1).astype(np.float32)

    def ours(threads: int) -> Run:
        return lambda: [
            mask.counts
            for mask in ops.encode_masks(
                logits,
                boxes,
                image_hw,
                convention="image",
                mask_threshold=0.0,
                inclusive=False,
                threads=threads,
            )
        ]

    windows = [logits[n, y : y + cells, x : x + cells] for n, (y, x) in enumerate(corners)]
    theirs = partial(_resize_and_encode, windows, [crop_hw] * count, lambda values: values > 0)
    return Case(
        f"{count} masks, logits to RLE of crops",
        f"{crop_hw[0]}x{crop_hw[1]}",
        {HPIP: ours, "cv2 + pycocotools": theirs},
        partial(_compare_counts, [crop_hw] * count),
        logits.nbytes,
        {"cv2 + pycocotools": 8.0} if count == 10 and crop_hw == (400, 500) else {},
    )


def _regions_case(count: int) -> Case:
    """28 x 28 probabilities and boxes of 200 x 300 pixels on average, as in Mask R-CNN."""
    rng = np.random.default_rng(1)
    values = np.stack([1 / (1 + np.exp(-blob((28, 28), n))) for n in range(count)])
    sizes_hw = [(int(h), int(w)) for h, w in rng.integers((100, 150), (301, 451), (count, 2))]
    tops = rng.integers(0, (1080 - 300, 1920 - 450), (count, 2))
    boxes = np.concatenate([tops[:, ::-1], (tops + sizes_hw)[:, ::-1]], 1).astype(np.float32)

    def ours(threads: int) -> Run:
        return lambda: [
            mask.counts for mask in ops.encode_masks(values, boxes, (1080, 1920), threads=threads)
        ]

    theirs = partial(_resize_and_encode, list(values), sizes_hw, lambda array: array >= 0.5)
    return Case(
        f"{count} regions of 28x28 to RLE of boxes",
        "1080p",
        {HPIP: ours, "cv2 + pycocotools": theirs},
        partial(_compare_counts, sizes_hw),
        values.nbytes,
        {"cv2 + pycocotools": 8.0},
    )


def _resize_and_encode(
    windows: list[Float32Array],
    sizes_hw: list[tuple[int, int]],
    passes: Callable[[Any], Any],
    threads: int,
) -> Run:
    if threads != 1:
        raise UnavailableError("pycocotools has one thread")

    def run() -> list[bytes]:
        strings = []
        for window, (height, width) in zip(windows, sizes_hw, strict=True):
            values = cv2.resize(window, (width, height), interpolation=cv2.INTER_LINEAR)
            mask = np.asfortranarray(passes(values), np.uint8)
            strings.append(coco.encode(mask)["counts"])
        return strings

    return run


def _compare_counts(
    sizes_hw: list[tuple[int, int]], ours: list[bytes], theirs: list[bytes], contender: str
) -> None:
    """Allow a difference of one pixel in ten thousand, because OpenCV's weights are rounded."""
    for mine, other, size_hw in zip(ours, theirs, sizes_hw, strict=True):
        different = (ops.decode_rle(mine, size_hw) != ops.decode_rle(other, size_hw)).mean()
        assert different <= 1e-4, f"{contender}: {different:.2e} of the pixels differ"


def _dense_case(name: str, size_hw: tuple[int, int]) -> Case:
    mask = (blob(size_hw, 7) > 0).astype(np.uint8)

    def pycocotools(threads: int) -> Run:
        if threads != 1:
            raise UnavailableError("pycocotools has one thread")
        return lambda: coco.encode(np.asfortranarray(mask))["counts"]

    def rlemasklib(threads: int) -> Run:
        try:
            import rlemasklib as library
        except ImportError as error:
            raise UnavailableError(str(error)) from error
        if threads != 1:
            raise UnavailableError("rlemasklib has one thread")
        return lambda: library.encode(mask)["counts"]

    return Case(
        "RLE of a dense mask, C order",
        name,
        {
            HPIP: lambda threads: partial(ops.encode_rle, mask, threads=threads),
            "pycocotools": pycocotools,
            "rlemasklib": rlemasklib,
        },
        _compare_equal,
        mask.nbytes,
        {"pycocotools": 12.0, "rlemasklib": 1.5} if name == "1080p" else {},
    )


def _compare_equal(ours: bytes, theirs: bytes, contender: str) -> None:
    assert ours == theirs, contender


def _overlay_case(count: int) -> Case:
    image = synthetic_image("1080p")
    rng = np.random.default_rng(2)
    crops = [cv2.resize(blob((40, 50), n), (500, 400)) > 0 for n in range(count)]
    tops = rng.integers(0, (1080 - 400, 1920 - 500), (count, 2))
    masks = [
        RleMask(ops.encode_rle(crop), (400, 500), (int(y), int(x)))
        for crop, (y, x) in zip(crops, tops, strict=True)
    ]
    boxes = np.concatenate([tops[:, ::-1], np.add(tops, (400, 500))[:, ::-1]], 1).astype(np.float32)
    scores = np.linspace(0.9, 0.5, count, dtype=np.float32)

    def ours(threads: int) -> Run:
        return lambda: draw_instances(
            image,
            masks=masks,
            boxes_xyxy=boxes,
            class_ids=np.arange(count),
            labels=["person"] * count,
            scores=scores,
            threads=threads,
        )

    return Case(
        f"overlay of {count} masks, boxes and labels",
        "1080p",
        {
            HPIP: ours,
            "PaddleX": partial(_paddlex, image, crops, boxes, scores),
            "PaddleX's calls": partial(_paddlex_calls, image, crops, boxes, scores),
        },
        partial(_compare_touched, masks),
        2 * image.nbytes,
        {"PaddleX": 20.0, "PaddleX's calls": 20.0} if count == 10 else {},
    )


def _paddlex(
    image: UInt8Array, crops: list[Any], boxes: Float32Array, scores: Float32Array, threads: int
) -> Run:
    try:
        from paddlex.inference.models.instance_segmentation.result import draw_mask
        from paddlex.inference.models.object_detection.result import draw_box
        from PIL import Image
    except ImportError as error:
        raise UnavailableError(str(error)) from error
    if threads != 1:
        raise UnavailableError("PaddleX draws on one thread")
    records = [
        {"cls_id": n, "label": "person", "score": float(score), "coordinate": box.tolist()}
        for n, (box, score) in enumerate(zip(boxes, scores, strict=True))
    ]
    masks = [crop.astype(np.uint8) for crop in crops]

    def run() -> UInt8Array:
        # Both functions modify their arguments.
        drawn = draw_mask(
            Image.fromarray(image), copy.deepcopy(records), masks, list(image.shape[:2])
        )
        return np.asarray(draw_box(drawn, copy.deepcopy(records)))

    return run


def _paddlex_calls(
    image: UInt8Array, crops: list[Any], boxes: Float32Array, scores: Float32Array, threads: int
) -> Run:
    """The NumPy and Pillow calls with which PaddleX 3.7 draws, for machines without PaddleX."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise UnavailableError(str(error)) from error
    if threads != 1:
        raise UnavailableError("PaddleX draws on one thread")
    font = ImageFont.load_default(20)
    colors = np.random.default_rng(0).integers(0, 256, (len(crops), 3))

    def run() -> UInt8Array:
        whole = []
        for crop, box in zip(crops, boxes, strict=True):
            x0, y0, x1, y1 = (round(float(edge)) for edge in box)
            mask = np.zeros(image.shape[:2], np.uint8)
            mask[y0:y1, x0:x1] = crop
            whole.append(mask)
        values = image.astype(np.float32)
        for mask, color in zip(np.array(whole), colors, strict=True):
            rows, columns = np.nonzero(mask)
            values[rows, columns, :] *= 0.3
            values[rows, columns, :] += 0.7 * color
        canvas = Image.fromarray(values.astype(np.uint8))
        pen = ImageDraw.Draw(canvas)
        for box, color, score in zip(boxes, colors, scores, strict=True):
            pen.rectangle(box.tolist(), outline=tuple(color.tolist()), width=9)
            pen.text(box[:2].tolist(), f"person {score:.2f}", fill="black", font=font)
        return np.asarray(canvas)

    return run


def _compare_touched(
    masks: list[RleMask], ours: UInt8Array, theirs: UInt8Array, contender: str
) -> None:
    """Colours, lines and fonts differ, but both must change the pixels under the masks."""
    plain = synthetic_image("1080p")
    for mask in masks:
        (y, x), (height, width) = mask.offset_yx, mask.crop_hw
        inside = ops.decode_rle(mask.counts, mask.crop_hw).astype(bool)
        window = np.s_[y : y + height, x : x + width]
        for drawn in (ours, theirs):
            changed = np.any(drawn[window] != plain[window], axis=2)
            assert changed[inside].mean() > 0.97, contender
