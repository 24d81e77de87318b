# SPDX-License-Identifier: Apache-2.0
"""Converts images to the network's inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import hpip.ops as ops
from hpip.types import AnyArray, PadStrideStep, PreprocessPlan, ResizeStep, UInt8Array


def network_inputs(
    images: Sequence[UInt8Array], plan: PreprocessPlan, *, threads: int = 1
) -> dict[str, AnyArray]:
    """Preprocess a batch of images to the three inputs of the official exported models.

    Args:
        images: B >= 1 arrays (H, W, 3), BGR uint8. `plan.network_hw` must be the same for all of
            them.
        plan: the model's preprocessing steps.
        threads: CPU threads of the kernels.

    Returns:
        `image` (B, 3, h, w) float32; `im_shape` (B, 2) float32, height and width of the resized
        image before padding; `scale_factor` (B, 2) float32, resized size divided by original size,
        y then x, with the values of PaddleX 3.7.

    Raises:
        InvalidInputError: an image has a wrong shape, dtype or network size.
    """
    network_hw = plan.network_hw(_hw(images[0]))
    batch = np.empty((len(images), 3, *network_hw), np.float32)
    ops.preprocess(images, plan, batch, threads=threads)
    resized_hw = np.array([plan.resized_hw(_hw(image)) for image in images], np.float64)
    image_hw = np.array([_hw(image) for image in images], np.float64)
    return {
        "image": batch,
        "im_shape": resized_hw.astype(np.float32),
        "scale_factor": (resized_hw / image_hw).astype(np.float32),
    }


def network_size_range(
    plan: PreprocessPlan,
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Smallest, typical and largest (h, w) of the network's input, for images of any size.

    Height and width are separate bounds; an image need not reach both. The typical size is that of
    a full-HD image. A plan without a resize has no bounds, so hpip assumes sides from 1 to 1344
    pixels; 1344 is the longest side of the official models with a variable input size.
    """
    resizes = [step for step in plan.steps if isinstance(step, ResizeStep)]
    typical = plan.network_hw((1080, 1920))
    if resizes and not resizes[-1].keep_ratio:
        return typical, typical, typical
    longest = max(resizes[-1].target_hw) if resizes else 1344
    return _padded(plan, (1, 1)), typical, _padded(plan, (longest, longest))


def example_inputs(network_hw: tuple[int, int], count: int = 1) -> dict[str, AnyArray]:
    """Inputs for `count` black images of the network's size, to build engines with."""
    return {
        "image": np.zeros((count, 3, *network_hw), np.float32),
        "im_shape": np.full((count, 2), network_hw, np.float32),
        "scale_factor": np.ones((count, 2), np.float32),
    }


def _padded(plan: PreprocessPlan, hw: tuple[int, int]) -> tuple[int, int]:
    for step in plan.steps:
        if isinstance(step, PadStrideStep):
            hw = step.output_hw(hw)
    return hw


def _hw(image: UInt8Array) -> tuple[int, int]:
    return image.shape[0], image.shape[1]
