# SPDX-License-Identifier: Apache-2.0
"""Preprocessing: from a decoded image to the network's input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cv2
import numpy as np

from benchmarks.kernels.case import HPIP, Case, Run, UnavailableError
from benchmarks.kernels.images import IMAGES_HW, synthetic_image
from hpip import ops
from hpip.types import NormalizeStep, PadStrideStep, PermuteStep, PreprocessPlan, ResizeStep

IMAGENET = NormalizeStep(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SCALE_ONLY = NormalizeStep(1 / 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
FLAGS = {"cubic": cv2.INTER_CUBIC, "linear": cv2.INTER_LINEAR}

# Mask-RT-DETR and PP-YOLOE_seg; MaskRCNN and Cascade; SOLOv2.
SQUARE = PreprocessPlan((ResizeStep((640, 640), False, "cubic"), SCALE_ONLY, PermuteStep()))
KEEP_RATIO = PreprocessPlan(
    (ResizeStep((800, 1333), True, "linear"), IMAGENET, PermuteStep(), PadStrideStep(32))
)
NORMALIZE_FIRST = PreprocessPlan(
    (IMAGENET, ResizeStep((800, 1333), True, "linear"), PermuteStep(), PadStrideStep(32))
)


def cases() -> Iterator[Case]:
    """The preprocessing of three families at three image sizes."""
    for name in IMAGES_HW:
        image = synthetic_image(name)
        yield _case("640x640 cubic, /255, CHW float32", name, image, SQUARE)
        yield _case("800x1333 linear, mean/std, pad 32", name, image, KEEP_RATIO)
        yield _case("mean/std, 800x1333 linear, pad 32", name, image, NORMALIZE_FIRST)


def _case(name: str, image_name: str, image: np.ndarray, plan: PreprocessPlan) -> Case:
    contenders: dict[str, Callable[[int], Run]] = {
        HPIP: partial(_hpip, image, plan),
        "PaddleX's operators": partial(_paddlex, image, plan),
        "PaddleX's calls of OpenCV and NumPy": partial(_paddlex_calls, image, plan),
    }
    wanted = {name: 6.0 for name in contenders if name != HPIP}
    if plan is SQUARE:
        contenders["cv2.resize + blobFromImage"] = partial(_blob, image, plan)
        wanted["cv2.resize + blobFromImage"] = 2.0
    if plan is not NORMALIZE_FIRST:
        contenders["cv2.resize alone"] = partial(_resize_alone, image, plan)
    if plan is SQUARE:
        wanted["cv2.resize alone"] = 1.1
    if image_name != "1080p" or plan is NORMALIZE_FIRST:
        wanted = {}
    bytes_moved = image.nbytes + 4 * 3 * int(np.prod(plan.network_hw(image.shape[:2])))
    return Case(name, image_name, contenders, _compare, bytes_moved, wanted)


def _hpip(image: np.ndarray, plan: PreprocessPlan, threads: int) -> Run:
    out = np.empty((1, 3, *plan.network_hw(image.shape[:2])), np.float32)

    def run() -> np.ndarray:
        ops.preprocess([image], plan, out, threads=threads)
        return out

    return run


def _paddlex(image: np.ndarray, plan: PreprocessPlan, threads: int) -> Run:
    try:
        from paddlex.inference.models.object_detection import processors
    except ImportError as error:
        raise UnavailableError("paddlex is not installed") from error
    operators: list[Any] = [processors.ReadImage(format="RGB")]
    for step in plan.steps:
        match step:
            case ResizeStep():
                target_wh = list(step.target_hw[::-1])
                kind = {"cubic": "BICUBIC", "linear": "LINEAR"}[step.interpolation]
                operators.append(processors.Resize(target_wh, step.keep_ratio, interp=kind))
            case NormalizeStep():
                operators.append(processors.Normalize(step.scale, step.mean, step.std))
            case PermuteStep():
                operators.append(processors.ToCHWImage())
            case PadStrideStep():
                operators.append(processors.PadStride(step.stride))
    operators.append(processors.ToBatch(("img_size", "img", "scale_factors")))
    cv2.setNumThreads(threads)

    def run() -> np.ndarray:
        records: Any = [image]
        for operator in operators:
            records = operator(records)
        batch: np.ndarray = records[1]
        return batch

    return run


def _paddlex_calls(image: np.ndarray, plan: PreprocessPlan, threads: int) -> Run:
    """The same library calls in the same order, for machines without PaddleX."""
    cv2.setNumThreads(threads)

    def run() -> np.ndarray:
        array = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        for step in plan.steps:
            array = _apply(step, array)
        return np.stack([array], axis=0).astype(np.float32, copy=False)

    return run


def _apply(step: Any, array: np.ndarray) -> Any:
    match step:
        case ResizeStep():
            height, width = step.output_hw(array.shape[:2])
            return cv2.resize(array, (width, height), interpolation=FLAGS[step.interpolation])
        case NormalizeStep():
            channels = [channel.astype(np.float32) for channel in cv2.split(array)]
            for channel, mean, std in zip(channels, step.mean, step.std, strict=True):
                channel *= step.scale / std
                channel += -mean / std
            return cv2.merge(channels)
        case PadStrideStep():
            padded = np.zeros((3, *step.output_hw(array.shape[1:])), np.float32)
            padded[:, : array.shape[1], : array.shape[2]] = array
            return padded
        case _:
            return array.transpose(2, 0, 1)


def _blob(image: np.ndarray, plan: PreprocessPlan, threads: int) -> Run:
    cv2.setNumThreads(threads)
    height, width = plan.resized_hw(image.shape[:2])

    def run() -> Any:
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
        return cv2.dnn.blobFromImage(resized, 1 / 255, swapRB=True)

    return run


def _resize_alone(image: np.ndarray, plan: PreprocessPlan, threads: int) -> Run:
    """Only a part of the operation: the resized uint8 image."""
    cv2.setNumThreads(threads)
    height, width = plan.resized_hw(image.shape[:2])
    flag = next(FLAGS[s.interpolation] for s in plan.steps if isinstance(s, ResizeStep))
    return lambda: cv2.resize(image, (width, height), interpolation=flag)


def _compare(result: np.ndarray, other: np.ndarray, contender: str) -> None:
    if contender == "cv2.resize alone":
        return
    # IPP's cubic resize may round to a neighbouring uint8 level at one value in a hundred.
    level = 1.001 / 255 / 0.224
    np.testing.assert_allclose(result, other, rtol=0, atol=level)
    assert np.isclose(result, other, rtol=0, atol=1e-5).mean() >= 0.99
