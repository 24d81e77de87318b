# SPDX-License-Identifier: Apache-2.0
"""Imports pycocotools lazily: only evaluation needs it."""

from __future__ import annotations

from typing import Any

from hpip.errors import BackendUnavailableError


def require_pycocotools() -> Any:
    """Return the `pycocotools` package with `coco`, `cocoeval` and `mask` imported.

    Raises:
        BackendUnavailableError: pycocotools is not installed, or its import fails.
    """
    try:
        import pycocotools.coco
        import pycocotools.cocoeval
        import pycocotools.mask
    # A wheel that was built for another NumPy ABI raises ValueError on import.
    except (ImportError, ValueError) as error:
        raise BackendUnavailableError(
            "pycocotools",
            f"evaluation needs pycocotools, and its import failed: {error}.",
            "Install it with `pip install 'hpip[eval]'`.",
        ) from error
    return pycocotools
