# SPDX-License-Identifier: Apache-2.0
"""Finds the CUDA libraries of ONNX Runtime's GPU providers, and names the one that is missing."""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from collections.abc import Sequence
from importlib import util
from pathlib import Path

from hpip.errors import BackendUnavailableError

TENSORRT_PROVIDER = "TensorrtExecutionProvider"
_LIBRARIES = {
    "CUDAExecutionProvider": "libonnxruntime_providers_cuda.so",
    TENSORRT_PROVIDER: "libonnxruntime_providers_tensorrt.so",
}
_CUDNN = "libcudnn.so.9"


def load_cuda_libraries(providers: Sequence[str]) -> None:
    """Load the libraries that NVIDIA's wheels hold, where the dynamic loader does not look.

    Nothing happens where no provider of `providers` runs on a GPU. What can't be found is told on
    stderr by ONNX Runtime; its provider then fails to load, which `missing_library` explains.
    """
    drives_gpus = [name for name in providers if name in _LIBRARIES]
    if not drives_gpus:
        return
    import onnxruntime

    # ONNX Runtime prints, but stdout belongs to the caller.
    with contextlib.redirect_stdout(sys.stderr):
        if hasattr(onnxruntime, "preload_dlls"):
            # Empty: from the wheels, whether or not torch is installed with CUDA of its own.
            onnxruntime.preload_dlls(directory="")
        if TENSORRT_PROVIDER in providers and util.find_spec("tensorrt") is not None:
            with contextlib.suppress(ImportError, OSError):
                import tensorrt  # noqa: F401 - loads libnvinfer from its wheel
    for name in drives_gpus:
        _load_from_other_sites(name)


def _load_from_other_sites(provider: str) -> None:
    """Load what ONNX Runtime did not find, because the wheels lie in another folder than its own.

    So it is beside a system's or an image's torch: `pip install --user` and `--target` part them.
    """
    tried: set[str] = set()
    while (library := missing_library(provider)) and library not in tried:
        tried.add(library)
        _load_from_wheels(library)
    # Opened when the first convolution is made, so the provider loads without it.
    _load_from_wheels(_CUDNN)


def _load_from_wheels(library: str) -> None:
    found = util.find_spec("nvidia")
    for site in (found and found.submodule_search_locations) or ():
        for path in sorted(Path(site).glob(f"*/lib/{library}")):
            with contextlib.suppress(OSError):
                ctypes.CDLL(str(path))
                return


def provider_refusal(provider: str) -> BackendUnavailableError:
    """The error that says why a provider can't be loaded, and what to do."""
    library = missing_library(provider)
    reason = f"{library} is missing" if library else "it does not start"
    return BackendUnavailableError(
        "onnxruntime", f"{provider} can't be loaded: {reason}.", advice(library)
    )


def missing_library(provider: str) -> str:
    """The library without which a provider can't be loaded; empty where none is missing."""
    if provider not in _LIBRARIES:
        return ""
    import onnxruntime

    folder = Path(onnxruntime.__file__).parent / "capi"
    try:
        ctypes.CDLL(str(folder / _LIBRARIES[provider]))
    except OSError as error:
        return library_of(str(error))
    return ""


def library_of(message: str) -> str:
    """The library that the dynamic loader could not find; empty where it says something else."""
    found = re.match(r"(\S+): cannot open shared object file", message)
    return found[1] if found else ""


def advice(library: str) -> str:
    """What to do about a missing library, or where none is missing and the provider fails."""
    if not library:
        return "`nvidia-smi` tells whether the driver works and is new enough for its CUDA version."
    if library.startswith("libcuda.so"):
        return "It belongs to NVIDIA's driver: install that, or give the container its GPUs."
    if library.startswith(("libnvinfer", "libnvonnxparser")):
        version = library.rpartition(".so.")[2]
        return f"Install TensorRT {version} from NVIDIA's index."
    return "Install it with: pip install 'hpip[gpu]'"
