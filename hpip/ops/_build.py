# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hpip._core as _core


def build_info() -> dict[str, str]:
    """Build information of the native kernels.

    Returns:
        `version` of hpip, `compiler`, CMake's `build_type`, `sanitizers` (comma-separated, empty
        for none) and the version of `pybind11`; `isa`, the instruction set in use ("scalar", "avx2"
        or "avx512"), and `supported_isas` (comma-separated), the values that the environment
        variable HPIP_FORCE_ISA accepts on this processor.
    """
    return _core.build_info()
