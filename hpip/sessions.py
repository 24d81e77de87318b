# SPDX-License-Identifier: Apache-2.0
"""A program on an engine, without a plan around it."""

from __future__ import annotations

from hpip.artifacts import artifact
from hpip.backends.base import Session, SessionOptions
from hpip.backends.registry import backend_named
from hpip.runner import Engine
from hpip.types import ModelFiles


def open_session(files: ModelFiles, engine: Engine) -> Session:
    """Load a program on an engine, in the format that the engine takes.

    Raises:
        InvalidInputError: the backend or one of its settings is unknown.
        BackendUnavailableError: the engine, the device or the precision is not here.
        BackendError: the engine refused the network.
        ModelFormatError: a file is damaged, or the parameters do not belong to the program.
        GraphRewriteError: the engine wants ONNX, and an operator has no counterpart there.
    """
    backend = backend_named(engine.backend)
    options = SessionOptions(engine.device, engine.threads, engine.precision, engine.settings)
    return backend.open(artifact(files, backend.format), options)
