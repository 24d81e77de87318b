# SPDX-License-Identifier: Apache-2.0
"""OpenCV, imported when it is first needed: it is a peer, not a dependency of the base install."""

from __future__ import annotations

from types import ModuleType

from hpip.errors import BackendUnavailableError


def require_cv2(purpose: str) -> ModuleType:
    """Return the `cv2` module.

    Args:
        purpose: what it is needed for, as the error message says it: "decoding an image".

    Raises:
        BackendUnavailableError: OpenCV is not installed, or its libraries can't be loaded.
    """
    try:
        import cv2
    except ImportError as error:
        raise BackendUnavailableError(
            "opencv",
            f"{purpose} needs OpenCV, and `import cv2` failed: {error}.",
            "Install one wheel, not both: opencv-python-headless (`pip install 'hpip[cpu]'` brings"
            " it), or beside PaddleX the opencv-contrib-python version that PaddleX pins.",
        ) from error
    module: ModuleType = cv2
    return module
