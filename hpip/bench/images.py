# SPDX-License-Identifier: Apache-2.0
"""The images that every contender gets, as files."""

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
from hpip.model.official import demo_pictures
from hpip.types import UInt8Array


@dataclass(frozen=True)
class Picture:
    """One image: an absolute path, (height, width), and a digest of its pixels."""

    path: Path
    image_hw: tuple[int, int]
    digest: str

    def to_json(self) -> dict[str, Any]:
        """For the report: the file's name, not where it lies."""
        return {"name": self.path.name, "hw": list(self.image_hw), "sha256": self.digest}


def find_pictures(inputs: Sequence[str], most: int | None = None) -> list[Picture]:
    """Read images once, to know that they can be read.

    Args:
        inputs: files, directories and patterns; none takes those that come with the demo model.
        most: take the first so many only.

    Raises:
        InvalidInputError: there is none, or one can't be read.
    """
    pictures: list[Picture] = []
    for source in iter_sources(list(inputs) or demo_pictures()):
        if source.error is not None:
            raise InvalidInputError(f"images: {source.error}") from source.error
        if source.page_index is not None or source.input_path is None or "://" in source.name:
            raise InvalidInputError(
                f"images: expected image files on this machine; received {source.name}"
            )
        assert source.image is not None
        pictures.append(_picture(Path(source.input_path).resolve(), source.image))
        if most is not None and len(pictures) >= most:
            break
    if not pictures:
        raise InvalidInputError(f"images: expected at least one; received none in {list(inputs)}")
    return pictures


def resized(pictures: Sequence[Picture], image_hw: tuple[int, int], folder: Path) -> list[Picture]:
    """The same pictures at another size, as JPEG files in `folder`; proportions are not kept."""
    cv2 = require_cv2("resizing the benchmark's images")
    found = []
    for number, picture in enumerate(pictures):
        image = cv2.imread(str(picture.path), cv2.IMREAD_COLOR)
        small = image_hw[0] < picture.image_hw[0]
        changed = cv2.resize(
            image, image_hw[::-1], interpolation=cv2.INTER_AREA if small else cv2.INTER_CUBIC
        )
        # Numbered: pictures of several folders may share a name.
        name = f"{number}_{picture.path.stem}_{image_hw[0]}x{image_hw[1]}.jpg"
        cv2.imwrite(str(folder / name), changed, [cv2.IMWRITE_JPEG_QUALITY, 95])
        found.append(_picture(folder / name, cv2.imread(str(folder / name), cv2.IMREAD_COLOR)))
    return found


def _picture(path: Path, image: UInt8Array) -> Picture:
    height, width = image.shape[:2]
    digest = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()[:16]
    return Picture(path, (height, width), digest)
