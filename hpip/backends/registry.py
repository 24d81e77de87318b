# SPDX-License-Identifier: Apache-2.0
"""Registry of backends by name; engines are imported on first use."""

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
    """Names of all backends, available or not; plain Paddle comes first."""
    return tuple(_BACKENDS)


def register_backend(name: str, path: str) -> None:
    """Register a custom backend, or replace one, for this process and its trial processes.

    Args:
        name: name in `hpi_config`.
        path: `module:Class` of a `Backend`; the module must be importable in a child process.
    """
    _BACKENDS[name] = path


def backend_path(name: str) -> str:
    """`module:Class` of a backend.

    Raises:
        InvalidInputError: no backend has this name.
    """
    if name not in _BACKENDS:
        raise InvalidInputError(
            f"backend: expected one of {', '.join(_BACKENDS)}; received {name!r}"
        )
    return _BACKENDS[name]


def backend_named(name: str) -> Backend:
    """The backend with this name; `Backend.probe` tells whether its engine is available.

    Raises:
        InvalidInputError: no backend has this name.
    """
    module, _, class_name = backend_path(name).partition(":")
    backend: Backend = getattr(import_module(module), class_name)()
    return backend
