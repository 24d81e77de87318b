# SPDX-License-Identifier: Apache-2.0
"""Interface between hpip and the inference engines."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from hpip.common.devices import Device
from hpip.common.keep_alive import keep_alive
from hpip.errors import BackendError, BackendUnavailableError, InvalidInputError
from hpip.types import AnyArray, ModelFiles

ProgramFormat: TypeAlias = Literal["paddle", "onnx"]
Feeds: TypeAlias = Mapping[str, AnyArray]
Precision: TypeAlias = Literal["fp32", "bf16", "fp16", "int8"]


@dataclass(frozen=True)
class SessionOptions:
    """How to open a session.

    Attributes:
        device: device that runs the network.
        threads: CPU threads of the engine, at least 1.
        precision: arithmetic precision; a backend raises if it does not support it.
        settings: engine-specific settings, as in `backend_config` of `hpi_config`; a backend raises
            for unknown names.
        shares_cpu: other sessions run concurrently, so idle threads must not spin.
        examples: inputs of the smallest, the usual and the largest request. Required by engines
            that are built for a range of shapes, ignored by others.
        build_dir: folder in which an engine caches its builds; None builds at every start.
    """

    device: Device
    threads: int
    precision: Precision = "fp32"
    settings: Mapping[str, Any] = field(default_factory=dict)
    shares_cpu: bool = False
    examples: tuple[Feeds, Feeds, Feeds] | None = None
    build_dir: Path | None = None


@dataclass(frozen=True)
class Probe:
    """Whether an engine is available.

    Attributes:
        version: the engine's version, or None if it is not available.
        reason: why it is not available; empty if it is.
        devices: device strings of the devices that it can use.
        broken: True if it is installed, but can't be loaded.
    """

    version: str | None
    reason: str
    devices: tuple[str, ...]
    broken: bool = False


class Session(ABC):
    """One loaded network. Not thread-safe: share sessions through a `SessionPool`."""

    def __init__(self, input_names: tuple[str, ...], output_names: tuple[str, ...]) -> None:
        self.input_names = input_names
        self.output_names = output_names
        self._closed = False
        self._owner_pid = os.getpid()

    def run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
        """Run the network once, with the GIL released while it computes.

        Args:
            inputs: one C-contiguous array for each of `input_names`. Some engines read them without
                a copy, so they must not change until the call returns.

        Returns:
            One new array for each of `output_names`.

        Raises:
            InvalidInputError: an input is missing, unknown, or not C-contiguous.
            BackendError: the engine failed, the session is closed, or this process was forked from
                the one that opened it.
        """
        return self.consume(dict(inputs))

    def consume(self, inputs: dict[str, AnyArray]) -> list[AnyArray]:
        """Run the network once, like `run`, and release the inputs early.

        The session takes over the dict. An engine that copies its inputs removes each array from
        the dict after the copy, which halves their memory if the dict has the only reference.
        """
        self._require_usable("run")
        if set(inputs) != set(self.input_names):
            raise InvalidInputError(
                f"inputs: expected {', '.join(self.input_names)}; received {', '.join(inputs)}"
            )
        for name in inputs:
            _require_contiguous(name, inputs[name])
        return self._run(inputs)

    def clone(self) -> Session | None:
        """A second session with the same weights in memory, for another thread.

        Call it while this session is idle. None if the engine can't share weights.

        Raises:
            BackendError: the session is closed, or the engine failed.
        """
        self._require_usable("clone")
        return self._clone()

    def close(self) -> None:
        """Free the engine's memory. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._owner_pid == os.getpid():
            self._close()
        else:
            keep_alive(self)

    def _require_usable(self, stage: str) -> None:
        if self._closed:
            raise BackendError(type(self).__name__, stage, "the session is closed; open a new one")
        if self._owner_pid != os.getpid():
            raise BackendError(
                type(self).__name__,
                stage,
                f"process {self._owner_pid} opened the session, and an engine's threads do not "
                "survive a fork; open a new one",
            )

    @abstractmethod
    def _run(self, inputs: dict[str, AnyArray]) -> list[AnyArray]: ...

    @abstractmethod
    def _close(self) -> None: ...

    def _clone(self) -> Session | None:
        return None


def _require_contiguous(name: str, array: AnyArray) -> None:
    if not array.flags.c_contiguous:
        raise InvalidInputError(
            f"inputs[{name!r}]: expected a C-contiguous array; received strides {array.strides} "
            f"for shape {array.shape}. Use numpy.ascontiguousarray."
        )


class Backend(ABC):
    """An inference engine. Stateless; subclasses import the engine inside their methods only.

    Attributes:
        name: name in `hpi_config` and for `backend_named`.
        format: model format of `open`: Paddle's own files, or an ONNX model whose external data is
            Paddle's parameter file.
        parallel: whether sessions of one process, cloned or opened, may run at the same time. If
            not, the backend runs them one after another, whatever threads call them, and a pool
            has one.
    """

    name: ClassVar[str]
    format: ClassVar[ProgramFormat]
    parallel: ClassVar[bool] = True

    @abstractmethod
    def probe(self) -> Probe:
        """Whether the engine is installed, and its devices; never raises."""

    @abstractmethod
    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        """Load a network.

        Args:
            files: program and parameters in this backend's `format`.
            options: device, threads, precision and engine-specific settings.

        Raises:
            InvalidInputError: an engine-specific setting is unknown or out of range.
            BackendUnavailableError: the engine, the device or the precision is not available.
            BackendError: the engine can't load the network.
        """

    def quantizer(self, device: Device) -> str | None:
        """Name and version of the int8 quantizer for a device, or None if there is none.

        With a quantizer, `open` accepts int8 only for models that `quantize` returned.
        """
        return None

    def quantize(self, files: ModelFiles, feeds: Iterable[Feeds]) -> bytes:
        """Quantize a network to int8; open the result with `precision="int8"`.

        Args:
            files: program and parameters in this backend's `format`.
            feeds: calibration data: network inputs of real images, which set the value ranges.

        Returns:
            The program; its parameters are those of `files`.

        Raises:
            BackendUnavailableError: the backend has no quantizer.
            BackendError: the quantizer failed, or there is no calibration data.
        """
        raise BackendUnavailableError(
            self.name, "it has no int8 quantizer.", "Choose another precision or backend."
        )


def refuse_settings(backend: str, settings: Mapping[str, Any], known: Collection[str]) -> None:
    """Check the names of engine-specific settings.

    Raises:
        InvalidInputError: a name is not among the `known` ones.
    """
    if unknown := sorted(set(settings) - set(known)):
        expected = ", ".join(sorted(known)) or "no settings"
        raise InvalidInputError(
            f"settings of {backend}: expected {expected}; received {unknown[0]!r}"
        )


def require_engine(
    backend: Backend,
    device: Device | None = None,
    *,
    hint: str = "Install it with: pip install 'hpip[cpu]'",
) -> str:
    """Check that an engine and its device are available; returns the engine's version.

    Args:
        backend: backend of the engine.
        device: required device; None to skip the check of the device.
        hint: remedy for a missing engine, for the error message.

    Raises:
        BackendUnavailableError: the engine or the device is not available.
    """
    probe = backend.probe()
    if probe.version is None:
        raise BackendUnavailableError(backend.name, f"{probe.reason}.", hint)
    if device is not None and str(device) not in probe.devices:
        raise BackendUnavailableError(
            backend.name,
            f"device {device} is not available; version {probe.version} of this engine finds "
            f"{', '.join(probe.devices)}.",
            "Choose one of these, or install the build of the engine for your device.",
        )
    return probe.version


def require_cpu(backend: str, options: SessionOptions) -> None:
    """Check that the requested device is the CPU.

    Raises:
        BackendUnavailableError: another device is requested.
    """
    if options.device.kind != "cpu":
        raise BackendUnavailableError(
            backend, f"it runs on the CPU only, not on {options.device}.", "Use device='cpu'."
        )


def require_precision(backend: str, options: SessionOptions, *known: Precision) -> None:
    """Check that the backend supports the requested precision.

    Raises:
        BackendUnavailableError: the precision is not among the `known` ones.
    """
    if options.precision not in known:
        raise BackendUnavailableError(
            backend,
            f"it supports {', '.join(known)} on {options.device.kind}, not {options.precision}.",
            "Choose another precision or backend.",
        )
