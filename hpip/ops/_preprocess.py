# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

import hpip._core as _core
from hpip.errors import InvalidInputError
from hpip.ops._arguments import int_pair, thread_count
from hpip.types import (
    AnyArray,
    ChannelOrder,
    Float16Array,
    Float32Array,
    Interpolation,
    NormalizeStep,
    PadStrideStep,
    PermuteStep,
    PreprocessPlan,
    ResizeStep,
    TensorLayout,
    UInt8Array,
)

ImageArray = TypeVar("ImageArray", UInt8Array, Float32Array)

_IDENTITY = NormalizeStep(1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def resize(
    image: ImageArray,
    size_hw: tuple[int, int],
    interpolation: Interpolation = "linear",
    *,
    out: ImageArray | None = None,
    threads: int = 1,
) -> ImageArray:
    """Resize an image like `cv2.resize`.

    Uses half-pixel centres and replicated borders. Only "area" averages when it shrinks an image;
    when it enlarges one along either axis, it is OpenCV's variant of "linear". An image that
    already has the target size is copied.

    Args:
        image: (H, W) or (H, W, C) with C of 1, 3 or 4; uint8 or float32; H and W at least 1. Rows
            may have any stride, including negative ones; other layouts are copied to C order first.
        size_hw: height and width of the result, each at least 1.
        interpolation: "nearest", "linear", "cubic" or "area".
        out: output array of the result's shape and dtype, with contiguous rows, which must not
            overlap `image`; allocated if None.
        threads: CPU threads to use, at least 1.

    Returns:
        The resized image, with the input's rank and dtype; `out` itself if given.

    Raises:
        InvalidInputError: an argument has an invalid dtype, shape or value.

    Note:
        Releases the GIL. The result does not depend on the number of threads. Compared with
        cv2.resize 4.10 and 5.0 (x86-64 wheels): uint8 "nearest" and "linear" are equal; uint8
        "cubic" and "area" differ by at most 1 level, at less than 1 % of pixels; float32 differs by
        at most 2e-5 of the value range. Without Intel's IPP, OpenCV's uint8 "cubic" has coarser
        weights and differs by 1 level at about 5 % of pixels (tests/kernels/test_resize.py).
    """
    source: AnyArray = _dense_rows(_image("image", image))
    height, width = int_pair("size_hw", size_hw, minimum=1)
    result = _output(out, (height, width, *source.shape[2:]), source.dtype, source)
    run = _core.resize_u8 if source.dtype == np.uint8 else _core.resize_f32
    run(source, interpolation, result, thread_count(threads))
    return result


def normalize(
    image: UInt8Array | Float32Array,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    scale: float = 1 / 255,
    out: Float32Array | None = None,
    threads: int = 1,
) -> Float32Array:
    """Compute value * (scale / std) + (-mean / std) per channel, in the image's channel order.

    Factor and offset are computed in float64 and rounded to float32; product and sum are each
    rounded to float32. The result is bit-identical to that of PaddleX 3.7.

    Args:
        image: (H, W) or (H, W, C) with C of 1, 3 or 4; uint8 or float32; H and W at least 1. Rows
            may have any stride; other layouts are copied to C order first.
        mean: one number per channel, in units of the scaled image.
        std: one number per channel, not 0.
        scale: factor of the image, applied before `mean` and `std`.
        out: output array, float32, of the image's shape, with contiguous rows, which must not
            overlap `image`; allocated if None.
        threads: CPU threads to use, at least 1.

    Returns:
        The normalized image, float32, with the input's shape; `out` itself if given.

    Raises:
        InvalidInputError: an argument has an invalid dtype, shape or value.

    Note:
        Releases the GIL. The result does not depend on the number of threads.
    """
    source: AnyArray = _dense_rows(_image("image", image))
    factor, offset = _affine(scale, mean, std, 1 if source.ndim == 2 else source.shape[2])
    result = _output(out, source.shape, np.dtype(np.float32), source)
    run = _core.normalize_u8 if source.dtype == np.uint8 else _core.normalize_f32
    run(source, factor, offset, result, thread_count(threads))
    return result


def preprocess(
    images: Sequence[UInt8Array],
    plan: PreprocessPlan,
    out: Float32Array | Float16Array,
    *,
    channel_order: ChannelOrder = "bgr",
    layout: TensorLayout = "nchw",
    threads: int = 1,
) -> None:
    """Convert images to the network's RGB input in one pass per image.

    Fuses the steps of the plan, in their order (a normalization before the resize means a resize in
    float32), without intermediate full-size images.

    Args:
        images: B uint8 arrays, BGR (H, W, 3), or grey (H, W) or (H, W, 1), which is repeated to R,
            G and B; H and W at least 1; rows may have any stride, other layouts are copied to C
            order first. May be empty.
        plan: at most one resize and one normalization, then the permutation, then padding.
        out: output array, (B, 3, h, w) float32 or float16, C-contiguous, which must not overlap the
            images; all of it is written. (h, w) must be `plan.network_hw` of every image. float16
            values are the float32 values rounded to nearest, ties to even.
        channel_order: "rgb" for images that are already RGB.
        layout: "nhwc" for engines that need (B, h, w, 3); overrides the plan's permutation.
        threads: CPU threads to use, at least 1.

    Raises:
        InvalidInputError: an argument has an invalid dtype, shape or value, or the images have
            different network sizes.

    Note:
        Releases the GIL. The result does not depend on the number of threads, the instruction set
        or the batch. It equals that of PaddleX 3.7's operators if `resize` equals cv2's
        (tests/kernels/test_preprocess.py).
    """
    resize_step, normalize_step, normalize_first = _plan_parts(plan)
    sources = [_dense_rows(_color_image(f"images[{i}]", image)) for i, image in enumerate(images)]
    _check_batch(sources, plan, out, layout)
    factor, offset = _affine(normalize_step.scale, normalize_step.mean, normalize_step.std, 3)
    narrow = out.dtype == np.float16
    (_core.preprocess_f16 if narrow else _core.preprocess_f32)(
        sources,
        [plan.resized_hw((image.shape[0], image.shape[1])) for image in sources],
        resize_step.interpolation if resize_step else "linear",
        factor,
        offset,
        normalize_first,
        channel_order,
        out.view(np.uint16) if narrow else out,
        layout,
        thread_count(threads),
    )


def _image(name: str, value: Any) -> AnyArray:
    if not isinstance(value, np.ndarray):
        raise InvalidInputError(
            f"{name}: expected a numpy array, received {type(value).__name__}; "
            "pass numpy.asarray(...)"
        )
    if value.dtype not in (np.uint8, np.float32) or value.ndim not in (2, 3):
        raise InvalidInputError(
            f"{name}: expected a uint8 or float32 array of shape (H, W) or (H, W, C), "
            f"received {_array_text(value)}"
        )
    if 0 in value.shape:
        raise InvalidInputError(
            f"{name}: expected at least one pixel, received {_array_text(value)}"
        )
    return value


def _color_image(name: str, value: Any) -> UInt8Array:
    image = _image(name, value)
    if image.dtype != np.uint8 or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise InvalidInputError(
            f"{name}: expected a uint8 array of shape (H, W, 3), or grey of shape (H, W) or "
            f"(H, W, 1), received {_array_text(image)}"
        )
    return image


def _dense_rows(image: AnyArray) -> AnyArray:
    """The image itself if its rows are contiguous and aligned, else a copy in C order."""
    dense = image[:1].flags.c_contiguous
    if dense and image.flags.aligned and image.strides[0] % image.itemsize == 0:
        return image
    return np.array(image, order="C")


def _output(
    out: AnyArray | None, shape: tuple[int, ...], dtype: np.dtype[Any], source: AnyArray
) -> AnyArray:
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype:
        raise InvalidInputError(
            f"out: expected {_article(dtype)} array of shape {shape}, received {_array_text(out)}"
        )
    _check_apart(out, source)
    return out


def _check_apart(out: AnyArray, source: AnyArray) -> None:
    if np.may_share_memory(out, source):
        raise InvalidInputError(
            "out: expected memory of its own, received an array that overlaps the input; "
            "pass another array, or omit the argument"
        )


def _check_batch(images: Sequence[UInt8Array], plan: PreprocessPlan, out: Any, layout: str) -> None:
    sizes_hw = [plan.network_hw((image.shape[0], image.shape[1])) for image in images]
    for index, size_hw in enumerate(sizes_hw):
        if size_hw != sizes_hw[0]:
            raise InvalidInputError(
                f"images[{index}]: expected network size {sizes_hw[0]} as for images[0], received "
                f"an image of {images[index].shape[:2]} that needs {size_hw}; "
                "put images of different network sizes into different batches"
            )
    is_tensor = isinstance(out, np.ndarray) and out.ndim == 4
    if not is_tensor or out.dtype not in (np.float32, np.float16):
        raise InvalidInputError(
            "out: expected a float32 or float16 array of shape (B, 3, h, w) or (B, h, w, 3), "
            f"received {_array_text(out)}"
        )
    if layout == "nhwc":
        expected = (len(images), *(sizes_hw[0] if sizes_hw else out.shape[1:3]), 3)
    else:
        expected = (len(images), 3, *(sizes_hw[0] if sizes_hw else out.shape[2:]))
    if out.shape != expected:
        raise InvalidInputError(f"out: expected shape {expected}, received {out.shape}")
    for image in images:
        _check_apart(out, image)


def _plan_parts(plan: PreprocessPlan) -> tuple[ResizeStep | None, NormalizeStep, bool]:
    """The resize, the normalization, and whether the normalization comes first."""
    remaining = list(plan.steps)
    resize_step: ResizeStep | None = None
    normalize_step: NormalizeStep | None = None
    normalize_first = False
    while remaining and isinstance(remaining[0], ResizeStep | NormalizeStep):
        step = remaining[0]
        if isinstance(step, ResizeStep) and resize_step is None:
            resize_step = step
            normalize_first = normalize_step is not None
        elif isinstance(step, NormalizeStep) and normalize_step is None:
            normalize_step = step
        else:
            break
        remaining.pop(0)
    if [type(step) for step in remaining] not in ([PermuteStep], [PermuteStep, PadStrideStep]):
        raise InvalidInputError(
            "plan: expected at most one ResizeStep and one NormalizeStep in any order, then "
            "PermuteStep, then at most one PadStrideStep, received "
            f"{[type(step).__name__ for step in plan.steps]}"
        )
    return resize_step, normalize_step or _IDENTITY, normalize_first


def _affine(
    scale: float, mean: Sequence[float], std: Sequence[float], channels: int
) -> tuple[list[float], list[float]]:
    if len(mean) != channels or len(std) != channels:
        raise InvalidInputError(
            f"mean, std: expected {channels} numbers each, one per channel, received "
            f"{len(mean)} and {len(std)}"
        )
    numbers = [float(number) for number in (scale, *mean, *std)]
    if not all(map(math.isfinite, numbers)) or 0.0 in numbers[1 + channels :]:
        raise InvalidInputError(
            f"scale, mean, std: expected finite numbers and no std of 0, received {scale}, "
            f"{list(mean)}, {list(std)}"
        )
    factor = [scale / float(s) for s in std]
    offset = [-float(m) / float(s) for m, s in zip(mean, std, strict=True)]
    return factor, offset


def _array_text(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return type(value).__name__
    return f"{_article(value.dtype)} array of shape {value.shape}"


def _article(dtype: np.dtype[Any]) -> str:
    return f"{'an' if dtype.name[0] in 'io' else 'a'} {dtype}"
