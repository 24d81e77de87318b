# SPDX-License-Identifier: Apache-2.0
"""Native kernels on numpy arrays: checked arguments, no GIL while they run."""

from __future__ import annotations

from hpip.ops._build import build_info
from hpip.ops._preprocess import normalize, preprocess, resize

__all__ = ["build_info", "normalize", "preprocess", "resize"]
