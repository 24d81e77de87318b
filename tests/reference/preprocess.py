# SPDX-License-Identifier: Apache-2.0
"""PaddleX 3.7's chain of preprocessing operators, one whole image at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hpip.types import NormalizeStep, PadStrideStep, PermuteStep, PreprocessPlan, ResizeStep

Resize = Callable[[np.ndarray, tuple[int, int], str], np.ndarray]


def normalize(
    image: np.ndarray, mean: Sequence[float], std: Sequence[float], scale: float
) -> np.ndarray:
    channels = np.atleast_3d(image).astype(np.float32)
    for channel in range(channels.shape[2]):
        channels[:, :, channel] *= np.float32(scale / std[channel])
        channels[:, :, channel] += np.float32(-mean[channel] / std[channel])
    return channels.reshape(image.shape)


def network_input(image_bgr: np.ndarray, plan: PreprocessPlan, resize: Resize) -> np.ndarray:
    """(3, h, w) float32, with `resize` for the resize."""
    image = np.ascontiguousarray(image_bgr[:, :, ::-1])
    for step in plan.steps:
        match step:
            case ResizeStep():
                size_hw = step.output_hw((image.shape[0], image.shape[1]))
                image = resize(image, size_hw, step.interpolation)
            case NormalizeStep():
                image = normalize(image, step.mean, step.std, step.scale)
            case PermuteStep():
                image = image.transpose(2, 0, 1)
            case PadStrideStep():
                size_hw = step.output_hw((image.shape[1], image.shape[2]))
                padded = np.zeros((3, *size_hw), np.float32)
                padded[:, : image.shape[1], : image.shape[2]] = image
                image = padded
    return image.astype(np.float32)
