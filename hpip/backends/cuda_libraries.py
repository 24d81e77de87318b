# SPDX-License-Identifier: Apache-2.0
"""Loads the CUDA libraries of ONNX Runtime's GPU providers, and names a missing one."""

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
    """Load the libraries in NVIDIA's wheels, which the dynamic loader does not search.

    Does nothing unless one of `providers` runs on a GPU. ONNX Runtime reports missing libraries on
    stderr; its provider then fails to load, and `missing_library` names the library.
    """
    gpu_providers = [name for name in providers if name in _LIBRARIES]
    if not gpu_providers:
        return
    import onnxruntime

    # ONNX Runtime prints to stdout, which belongs to the application.
    with contextlib.redirect_stdout(sys.stderr):
        if hasattr(onnxruntime, "preload_dlls"):
            # Empty: from NVIDIA's wheels, even if torch is installed with its own CUDA libraries.
            onnxruntime.preload_dlls(directory="")
        if TENSORRT_PROVIDER in providers and util.find_spec("tensorrt") is not None:
            with contextlib.suppress(ImportError, OSError):
                import tensorrt  # noqa: F401 - loads libnvinfer from its wheel
    for name in gpu_providers:
        _load_from_other_sites(name)


def _load_from_other_sites(provider: str) -> None:
    """Load libraries from wheels in another site-packages folder than ONNX Runtime's.

    `pip install --user` and `--target` cause this, for example next to a system-wide torch.
    """
    tried: set[str] = set()
    while (library := missing_library(provider)) and library not in tried:
        tried.add(library)
        _load_from_wheels(library)
    # cuDNN is loaded at the first convolution only, so it is not among the missing libraries.
    _load_from_wheels(_CUDNN)


def _load_from_wheels(library: str) -> None:
    found = util.find_spec("nvidia")
    for site in (found and found.submodule_search_locations) or ():
        for path in sorted(Path(site).glob(f"*/lib/{library}")):
            with contextlib.suppress(OSError):
                ctypes.CDLL(str(path))
                return


def provider_refusal(provider: str) -> BackendUnavailableError:
    """The error for a provider that can't be loaded, with reason and remedy."""
    library = missing_library(provider)
    reason = f"{library} is missing" if library else "it fails to initialize"
    return BackendUnavailableError(
        "onnxruntime", f"{provider} can't be loaded: {reason}.", advice(library)
    )


def missing_library(provider: str) -> str:
    """Name of a library that a provider needs and that can't be found, or empty."""
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
    """Name of the library in a dynamic loader's "cannot open" message, or empty."""
    found = re.match(r"(\S+): cannot open shared object file", message)
    return found[1] if found else ""


def advice(library: str) -> str:
    """Remedy for a missing library, or for a provider that fails although none is missing."""
    if not library:
        return "Check with `nvidia-smi` that the driver works and supports this CUDA version."
    if library.startswith("libcuda.so"):
        return "Install NVIDIA's driver, or start the container with GPU access (--gpus all)."
    if library.startswith(("libnvinfer", "libnvonnxparser")):
        version = library.rpartition(".so.")[2]
        return f"Install TensorRT {version} from NVIDIA's package index."
    return "Install it with: pip install 'hpip[gpu]'"
