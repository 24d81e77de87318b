# SPDX-License-Identifier: Apache-2.0
"""The GPU and its libraries, for the environment of the results."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

_DRIVES_GPUS = re.compile(r"(nvidia-|tensorrt|cuda-|onnxruntime|paddlepaddle)")
_WHEELS = {"cuda": "nvidia-cuda-runtime", "cudnn": "nvidia-cudnn", "tensorrt": "tensorrt"}
# If no wheel contains them: names of the libraries, newest first, and functions for their versions.
_LIBRARIES = {
    "cuda": (("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0"), "cudaRuntimeGetVersion"),
    "cudnn": (("libcudnn.so.9", "libcudnn.so.8"), "cudnnGetVersion"),
    "tensorrt": (("libnvinfer.so.11", "libnvinfer.so.10"), "getInferLibVersion"),
}


def fingerprint(
    gpus: Sequence[str],
    nvidia_smi: str,
    distributions: Mapping[str, str],
    libraries: Mapping[str, str],
    paddle_cuda: tuple[str, str] | None,
) -> dict[str, Any]:
    """Collect the versions of GPU, driver, CUDA, cuDNN and TensorRT; None if unknown.

    Args:
        gpus: lines of nvidia-smi: name, driver version, memory.
        nvidia_smi: output of nvidia-smi without arguments.
        distributions: installed Python distributions, with their versions.
        libraries: versions of `cuda`, `cudnn` and `tensorrt` that the system's loader finds.
        paddle_cuda: versions of CUDA and cuDNN with which Paddle was built.
    """
    fields = [[part.strip() for part in line.split(",")] for line in gpus]
    driver_cuda = re.search(r"CUDA Version:\s*([\d.]+)", nvidia_smi)
    relevant = {n: v for n, v in sorted(distributions.items()) if _DRIVES_GPUS.match(n)}
    versions = {
        what: next((v for n, v in relevant.items() if n.startswith(wheel)), libraries.get(what))
        for what, wheel in _WHEELS.items()
    }
    return {
        "gpus": [dict(zip(("name", "driver", "memory"), line, strict=False)) for line in fields],
        "driver_cuda": driver_cuda[1] if driver_cuda else None,
        **versions,
        "paddle_cuda": paddle_cuda and paddle_cuda[0],
        "paddle_cudnn": paddle_cuda and paddle_cuda[1],
        "distributions": relevant,
    }


def version_of(what: str, number: int) -> str:
    """Decode the version number of a library, such as 13000, 92801, 8907 or 101601."""
    if what == "cuda":
        return f"{number // 1000}.{number % 1000 // 10}"
    # cuDNN 9 and TensorRT 10 have two digits for the minor version, earlier ones have one.
    major = 10_000 if number >= 10_000 else 1000
    return f"{number // major}.{number % major // 100}.{number % 100}"


def installed() -> dict[str, str]:
    """Names and versions of all installed distributions."""
    return {(d.metadata["Name"] or "").lower(): d.version for d in metadata.distributions()}


def loadable() -> dict[str, str]:
    """Versions of the libraries that the system's loader finds."""
    found = {}
    for what, (names, function) in _LIBRARIES.items():
        for name in names:
            try:
                get_version = getattr(ctypes.CDLL(name), function)
            except (OSError, AttributeError):
                continue
            number = ctypes.c_int()
            returned = get_version(ctypes.byref(number)) if what == "cuda" else get_version()
            found[what] = version_of(what, number.value if what == "cuda" else returned)
            break
    return found


def nvidia_smi() -> str:
    """Output of nvidia-smi; empty if it is not installed or fails."""
    try:
        done = subprocess.run(
            ["nvidia-smi"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
