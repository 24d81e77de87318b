# SPDX-License-Identifier: Apache-2.0
"""pycocotools, imported when it is first needed: only evaluation wants it."""

from __future__ import annotations

from typing import Any

from hpip.errors import BackendUnavailableError


def require_pycocotools() -> Any:
    """Return the `pycocotools` package with `coco`, `cocoeval` and `mask` imported.

    Raises:
        BackendUnavailableError: it is not installed, or can't be loaded.
    """
    try:
        import pycocotools.coco
        import pycocotools.cocoeval
        import pycocotools.mask
    # ValueError is what wheels of another NumPy generation raise on import.
    except (ImportError, ValueError) as error:
        raise BackendUnavailableError(
            "pycocotools",
            f"evaluating needs pycocotools, and importing it failed: {error}.",
            "Install it with `pip install 'hpip[eval]'`.",
        ) from error
    return pycocotools
