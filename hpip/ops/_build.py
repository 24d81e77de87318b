# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hpip._core as _core


def build_info() -> dict[str, str]:
    """How the native kernels were built.

    Returns:
        `version` of hpip, `compiler`, CMake's `build_type`, `sanitizers` (comma-separated, empty
        for none) and the version of `pybind11`; `isa`, the instruction set whose kernels run
        ("scalar", "avx2" or "avx512"), and `supported_isas` (comma-separated), those that the
        environment variable HPIP_FORCE_ISA may name.
    """
    return _core.build_info()
