# SPDX-License-Identifier: Apache-2.0
"""The images that hpip validates and calibrates engines with."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hpip.errors import HpipError, InvalidInputError
from hpip.inputs.sources import iter_sources
from hpip.model.official import demo_images
from hpip.types import UInt8Array

logger = logging.getLogger(__name__)

# A photograph and a busy scene. More images would make tuning slower, but not safer.
_SHIPPED = ("coins.png", "scene_0015.jpg")
MOST_TO_COMPARE = 8
# For int8: enough to estimate the ranges of tensors, with a quarter held out for validation.
MOST_TO_CALIBRATE = 32
_LEAST_TO_CALIBRATE, _LEAST_HELD_OUT = 2, 2


def shipped_images() -> list[UInt8Array]:
    """Two images that come with hpip; synthetic ones if no image decoder is installed."""
    try:
        paths = [path for path in demo_images() if Path(path).name in _SHIPPED]
        return read_images(paths)
    except HpipError as error:
        logger.debug("using synthetic images: %s", error)
        return [scene(300, 400), scene(400, 300, 21)]


def read_images(inputs: Sequence[str | Path], *, most: int = MOST_TO_COMPARE) -> list[UInt8Array]:
    """Read the first readable images of files and folders, at most `most`.

    Raises:
        InvalidInputError: there is no readable image.
    """
    found: list[UInt8Array] = []
    errors: list[str] = []
    for source in iter_sources([str(path) for path in inputs]):
        if source.image is None:
            errors.append(f"{source.name}: {source.error}")
            continue
        found.append(np.ascontiguousarray(source.image))
        if len(found) == most:
            break
    if not found:
        names = ", ".join(map(str, inputs))
        why = f" ({errors[0]})" if errors else ""
        raise InvalidInputError(f"expected images in {names}; found none that hpip can read{why}")
    return found


def split_for_calibration(
    images: Sequence[UInt8Array],
) -> tuple[list[UInt8Array], list[UInt8Array]]:
    """Split images into those that calibrate int8 and those that validate it, every fourth.

    Raises:
        InvalidInputError: there are too few images for both.
    """
    least = _LEAST_TO_CALIBRATE + _LEAST_HELD_OUT
    if len(images) < least:
        raise InvalidInputError(
            f"precision int8: expected at least {least} readable images, to calibrate with some "
            f"and validate with the others; received {len(images)}. Provide more images that "
            f"are typical of your use, ideally {MOST_TO_CALIBRATE}."
        )
    count = min(MOST_TO_COMPARE, max(_LEAST_HELD_OUT, len(images) // 4))
    held_out = {index * len(images) // count for index in range(count)}
    return (
        [image for index, image in enumerate(images) if index not in held_out],
        [images[index] for index in sorted(held_out)],
    )


def digest(images: Sequence[UInt8Array]) -> str:
    """Hash of the images' pixels."""
    total = hashlib.sha256()
    for image in images:
        total.update(str(image.shape).encode() + np.ascontiguousarray(image).tobytes())
    return total.hexdigest()[:16]


def scene(height: int, width: int, seed: int = 20) -> UInt8Array:
    """A synthetic image with edges, shading and texture at many scales; the seed determines it."""
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    image = np.stack([xs / width, ys / height, 1 - xs / width], -1) * 160 + 40
    for _ in range(40):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        ry, rx = rng.uniform(0.03, 0.25, 2) * (height, width)
        distance = ((ys - cy) / ry) ** 2 + ((xs - cx) / rx) ** 2
        inside = distance < 1 if rng.random() < 0.5 else (abs(ys - cy) < ry) & (abs(xs - cx) < rx)
        shade = (1.2 - 0.4 * distance.clip(0, 1))[..., None]
        image = np.where(inside[..., None], rng.uniform(0, 255, 3) * shade, image)
    image += rng.normal(0, 6, image.shape)
    return image.clip(0, 255).astype(np.uint8)
