# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hpip import _core


def build_info() -> dict[str, str]:
    """How the native kernels were built.

    Returns:
        `version` of hpip, `compiler`, CMake's `build_type`, `sanitizers` (comma-separated, empty
        for none) and the version of `pybind11`.
    """
    return _core.build_info()
