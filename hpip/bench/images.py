# SPDX-License-Identifier: Apache-2.0
"""The image files that every contender processes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpip.common.opencv import require_cv2
from hpip.errors import InvalidInputError
from hpip.inputs.sources import iter_sources
from hpip.model.official import demo_images
from hpip.types import UInt8Array


@dataclass(frozen=True)
class BenchImage:
    """An image file: absolute path, (height, width), and a digest of the pixels."""

    path: Path
    image_hw: tuple[int, int]
    digest: str

    def to_json(self) -> dict[str, Any]:
        """JSON object for the report, with the file's name instead of its path."""
        return {"name": self.path.name, "hw": list(self.image_hw), "sha256": self.digest}


def load_images(inputs: Sequence[str], most: int | None = None) -> list[BenchImage]:
    """Find image files, and check that each can be read.

    Args:
        inputs: files, directories and glob patterns; if empty, the images of the demo model.
        most: return only the first `most` images.

    Raises:
        InvalidInputError: there is no image, or one can't be read.
    """
    images: list[BenchImage] = []
    for source in iter_sources(list(inputs) or demo_images()):
        if source.error is not None:
            raise InvalidInputError(f"images: {source.error}") from source.error
        if source.page_index is not None or source.input_path is None or "://" in source.name:
            raise InvalidInputError(f"images: expected local image files; received {source.name}")
        assert source.image is not None
        images.append(_bench_image(Path(source.input_path).resolve(), source.image))
        if most is not None and len(images) >= most:
            break
    if not images:
        raise InvalidInputError(f"images: expected at least one; received none in {list(inputs)}")
    return images


def resized(
    images: Sequence[BenchImage], image_hw: tuple[int, int], folder: Path
) -> list[BenchImage]:
    """Resize images, without their aspect ratio, and save them as JPEG files in `folder`."""
    cv2 = require_cv2("resizing the benchmark's images")
    found = []
    for number, image in enumerate(images):
        pixels = cv2.imread(str(image.path), cv2.IMREAD_COLOR)
        small = image_hw[0] < image.image_hw[0]
        changed = cv2.resize(
            pixels, image_hw[::-1], interpolation=cv2.INTER_AREA if small else cv2.INTER_CUBIC
        )
        # Numbered, because images of several folders may share a name.
        name = f"{number}_{image.path.stem}_{image_hw[0]}x{image_hw[1]}.jpg"
        cv2.imwrite(str(folder / name), changed, [cv2.IMWRITE_JPEG_QUALITY, 95])
        found.append(_bench_image(folder / name, cv2.imread(str(folder / name), cv2.IMREAD_COLOR)))
    return found


def _bench_image(path: Path, image: UInt8Array) -> BenchImage:
    height, width = image.shape[:2]
    digest = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()[:16]
    return BenchImage(path, (height, width), digest)
