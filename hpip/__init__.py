# SPDX-License-Identifier: Apache-2.0
"""Fast PaddleX instance segmentation; see README.md."""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["__version__"]
