# SPDX-License-Identifier: Apache-2.0
"""The exception classes of hpip.

Each is also a subclass of a built-in exception, so that code which does not import hpip can catch
it. Every message says what is wrong, what was expected, what was received and what to do.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

_SHOWN_CHARACTERS = 200


class HpipError(Exception):
    """Base class of all exceptions that hpip raises deliberately."""


class InvalidInputError(HpipError, ValueError):
    """An argument, an image or a configuration value is invalid."""


def shorten(value: Any) -> str:
    """The value for a message, in at most 200 characters, however large or nested it is."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 3, 120, 120
    try:
        text = short.repr(value)
    except (ValueError, RecursionError):  # a number of more digits than Python converts, or worse
        text = f"a {type(value).__name__} that is too large to be shown"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def describe_failure(name: str, error: Exception) -> str:
    """The error's text, prefixed with the input's name unless the text contains it."""
    text = str(error)
    return text if name in text else f"{name}: {text}"


class FailedInputsError(InvalidInputError):
    """No input of a list, directory or pattern could be read.

    Attributes:
        failures: (name of the input, its error), in input order.
    """

    def __init__(self, failures: Sequence[tuple[str, Exception]]) -> None:
        self.failures = tuple(failures)
        lines = "\n".join(f"  {describe_failure(name, error)}" for name, error in self.failures)
        super().__init__(f"none of the {len(self.failures)} inputs could be read:\n{lines}")


class DatasetError(InvalidInputError):
    """A COCO dataset is damaged or incomplete, or shares no class with the model."""


class SaveError(HpipError, OSError):
    """A file can't be written: the folder is read-only, the disk full, or the name too long."""


class ModelFormatError(HpipError, ValueError):
    """A model directory is incomplete, damaged, or of an unsupported format."""


class ModelNotFoundError(HpipError, FileNotFoundError):
    """A model is not on disk and can't be downloaded."""


class GraphRewriteError(HpipError, RuntimeError):
    """A graph pass or the ONNX exporter failed; the original graph remains usable.

    Attributes:
        pass_name: class name of the pass.
        node: the operation at which it failed; may be empty.
    """

    def __init__(self, pass_name: str, message: str, node: str = "") -> None:
        self.pass_name = pass_name
        self.node = node
        super().__init__(f"{pass_name}: {message}" + (f" (at {node})" if node else ""))


class BackendUnavailableError(HpipError, ImportError):
    """A requested engine, device or precision is not available.

    Attributes:
        backend: name of the engine, as in `hpi_config`.
        reason: why it can't be used.
        hint: the remedy; may be empty.
    """

    def __init__(self, backend: str, reason: str, hint: str = "") -> None:
        self.backend = backend
        self.reason = reason
        self.hint = hint
        super().__init__(f"{backend}: {reason}" + (f" {hint}" if hint else ""))


class BackendError(HpipError, RuntimeError):
    """An engine failed to load or run a model.

    Attributes:
        backend: name of the engine.
        stage: the operation that failed, such as "open" or "run".
    """

    def __init__(self, backend: str, stage: str, message: str) -> None:
        self.backend = backend
        self.stage = stage
        super().__init__(f"{backend} failed to {stage}: {message}")
