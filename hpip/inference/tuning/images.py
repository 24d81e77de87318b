# SPDX-License-Identifier: Apache-2.0
"""The pictures that engines are tried on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hpip.errors import HpipError, InvalidInputError
from hpip.inputs.sources import iter_sources
from hpip.model.official import demo_pictures
from hpip.types import UInt8Array

logger = logging.getLogger(__name__)

# A photograph and a busy scene. More pictures than these make tuning slower, not safer.
_SHIPPED = ("coins.png", "scene_0015.jpg")
MOST_TO_COMPARE = 8
# For int8: enough for the ranges of its tensors, and what a quarter held out leaves to compare on.
MOST_TO_CALIBRATE = 32
_LEAST_TO_CALIBRATE, _LEAST_HELD_OUT = 2, 2


def shipped_pictures() -> list[UInt8Array]:
    """Two pictures that come with hpip; made-up ones where no image decoder is installed."""
    try:
        paths = [path for path in demo_pictures() if Path(path).name in _SHIPPED]
        return read_pictures(paths)
    except HpipError as error:
        logger.debug("made-up pictures are taken: %s", error)
        return [scene(300, 400), scene(400, 300, 21)]


def read_pictures(inputs: Sequence[str | Path], *, most: int = MOST_TO_COMPARE) -> list[UInt8Array]:
    """The first readable pictures of files and folders, `most` at most.

    Raises:
        InvalidInputError: there is none.
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
        raise InvalidInputError(f"expected pictures in {names}; found none that can be read{why}")
    return found


def split_for_calibration(
    pictures: Sequence[UInt8Array],
) -> tuple[list[UInt8Array], list[UInt8Array]]:
    """Pictures to calibrate int8 on, and others to compare its answers on: every fourth, evenly.

    Raises:
        InvalidInputError: there are too few for both.
    """
    least = _LEAST_TO_CALIBRATE + _LEAST_HELD_OUT
    if len(pictures) < least:
        raise InvalidInputError(
            f"precision int8: expected at least {least} pictures that can be read, to calibrate on "
            f"some and compare answers on others; received {len(pictures)}. Give more of the kind "
            f"that the model is to segment, {MOST_TO_CALIBRATE} if there are so many."
        )
    count = min(MOST_TO_COMPARE, max(_LEAST_HELD_OUT, len(pictures) // 4))
    held_out = {index * len(pictures) // count for index in range(count)}
    return (
        [picture for index, picture in enumerate(pictures) if index not in held_out],
        [pictures[index] for index in sorted(held_out)],
    )


def digest(pictures: Sequence[UInt8Array]) -> str:
    """Names the pictures by their pixels."""
    total = hashlib.sha256()
    for picture in pictures:
        total.update(str(picture.shape).encode() + np.ascontiguousarray(picture).tobytes())
    return total.hexdigest()[:16]


def scene(height: int, width: int, seed: int = 20) -> UInt8Array:
    """A made-up picture with edges, shading and texture at many scales, always the same."""
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    picture = np.stack([xs / width, ys / height, 1 - xs / width], -1) * 160 + 40
    for _ in range(40):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        ry, rx = rng.uniform(0.03, 0.25, 2) * (height, width)
        distance = ((ys - cy) / ry) ** 2 + ((xs - cx) / rx) ** 2
        inside = distance < 1 if rng.random() < 0.5 else (abs(ys - cy) < ry) & (abs(xs - cx) < rx)
        shade = (1.2 - 0.4 * distance.clip(0, 1))[..., None]
        picture = np.where(inside[..., None], rng.uniform(0, 255, 3) * shade, picture)
    picture += rng.normal(0, 6, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)
