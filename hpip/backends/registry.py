# SPDX-License-Identifier: Apache-2.0
"""The backends by name. No engine is imported before its backend is used."""

from __future__ import annotations

from importlib import import_module

from hpip.backends.base import Backend
from hpip.errors import InvalidInputError

_BACKENDS = {
    "paddle": "hpip.backends.paddle:PaddleBackend",
    "paddle_onednn": "hpip.backends.paddle_onednn:PaddleOneDnnBackend",
    "paddle_tensorrt": "hpip.backends.paddle_tensorrt:PaddleTensorRtBackend",
    "onnxruntime": "hpip.backends.onnxruntime:OnnxRuntimeBackend",
    "openvino": "hpip.backends.openvino:OpenVinoBackend",
    "tensorrt": "hpip.backends.tensorrt:TensorRtBackend",
}


def backend_names() -> tuple[str, ...]:
    """Names of all backends, whether their engines are here or not; plain Paddle comes first."""
    return tuple(_BACKENDS)


def register_backend(name: str, path: str) -> None:
    """Add a backend of your own, or replace one, for this process and the trials that it starts.

    Args:
        name: as in `hpi_config`.
        path: `module:Class` of a `Backend`; the module must be importable in a child process.
    """
    _BACKENDS[name] = path


def backend_path(name: str) -> str:
    """`module:Class` of a backend.

    Raises:
        InvalidInputError: no backend has that name.
    """
    if name not in _BACKENDS:
        raise InvalidInputError(
            f"backend: expected one of {', '.join(_BACKENDS)}; received {name!r}"
        )
    return _BACKENDS[name]


def backend_named(name: str) -> Backend:
    """The backend of that name, whether its engine is here or not; `Backend.probe` tells.

    Raises:
        InvalidInputError: no backend has that name.
    """
    module, _, class_name = backend_path(name).partition(":")
    backend: Backend = getattr(import_module(module), class_name)()
    return backend
