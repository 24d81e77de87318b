# SPDX-License-Identifier: Apache-2.0
"""Measures the float32 matrix-product throughput: the upper bound for a float32 network."""

from __future__ import annotations

import os
import subprocess

from hpip.common.interpreter import find_interpreter

_CODE = """
import time
import numpy as np
side = 2048
a, b = (np.random.default_rng(i).random((side, side), np.float32) for i in range(2))
out = a @ b
best = float("inf")
end = time.perf_counter() + 1.5
while time.perf_counter() < end:
    start = time.perf_counter()
    np.matmul(a, b, out=out)
    best = min(best, time.perf_counter() - start)
print(2 * side**3 / best / 1e9)
"""
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def sgemm_gflops(threads: int) -> float | None:
    """Highest throughput of 2048 x 2048 products of NumPy's BLAS, in a process of its own.

    It is the highest of 1.5 s, because other jobs can only lower it. None if NumPy fails.
    """
    python = find_interpreter()
    if python is None:
        return None
    environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))}
    try:
        done = subprocess.run(
            [python, "-c", _CODE],
            env=environment,
            # Modules of the user's folder must not stand in for those of Python and NumPy.
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return float(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
