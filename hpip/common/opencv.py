# SPDX-License-Identifier: Apache-2.0
"""Import of OpenCV on first use: it is an optional dependency."""

from __future__ import annotations

from types import ModuleType

from hpip.errors import BackendUnavailableError


def require_cv2(purpose: str) -> ModuleType:
    """Return the `cv2` module.

    Args:
        purpose: what OpenCV is needed for, for the error message: "decoding an image".

    Raises:
        BackendUnavailableError: OpenCV is not installed, or its libraries can't be loaded.
    """
    try:
        import cv2
    except ImportError as error:
        raise BackendUnavailableError(
            "opencv",
            f"{purpose} needs OpenCV, and `import cv2` failed: {error}.",
            "Install exactly one of its wheels: opencv-python-headless (part of"
            " `pip install 'hpip[cpu]'`), or with PaddleX the version of opencv-contrib-python"
            " that PaddleX pins.",
        ) from error
    module: ModuleType = cv2
    return module
