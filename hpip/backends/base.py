# SPDX-License-Identifier: Apache-2.0
"""The contract between hpip and an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from hpip.common.devices import Device
from hpip.errors import BackendError, BackendUnavailableError, InvalidInputError
from hpip.types import AnyArray, ModelFiles

ProgramFormat: TypeAlias = Literal["paddle", "onnx"]
Feeds: TypeAlias = Mapping[str, AnyArray]
Precision: TypeAlias = Literal["fp32", "bf16", "fp16", "int8"]


@dataclass(frozen=True)
class SessionOptions:
    """How to open a session.

    Attributes:
        device: where the network runs.
        threads: CPU threads of the engine, at least 1.
        precision: arithmetic of the engine; a backend refuses what it can't do.
        settings: what one engine alone knows, by its own names, as in `hpi_config`'s
            `backend_config`; a backend refuses names that it does not know.
        shares_cpu: other sessions run beside this one, so its idle threads must not spin.
        examples: feeds of the smallest, the usual and the largest request; engines that are built
            for a range of shapes need them, others don't look.
        build_dir: folder where an engine may keep what it builds, under names of its own; None
            builds anew each time.
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
    """Whether an engine is here.

    Attributes:
        version: the engine's version, or None when it is not here.
        reason: why it is not here; empty when it is.
        devices: the device strings that it can use.
    """

    version: str | None
    reason: str
    devices: tuple[str, ...]


class Session(ABC):
    """One loaded network. For one thread at a time: share sessions through a `SessionPool`."""

    def __init__(self, input_names: tuple[str, ...], output_names: tuple[str, ...]) -> None:
        self.input_names = input_names
        self.output_names = output_names
        self._closed = False

    def run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
        """Run the network once, with the GIL released while it computes.

        Args:
            inputs: one C-contiguous array for each of `input_names`. Some engines read them in
                place, others copy them: they must not change until the call returns.

        Returns:
            One new array for each of `output_names`, owned by the caller.

        Raises:
            InvalidInputError: an input is missing, unknown, or not C-contiguous.
            BackendError: the engine failed, or the session is closed.
        """
        return self.consume(dict(inputs))

    def consume(self, inputs: dict[str, AnyArray]) -> list[AnyArray]:
        """Run the network once, as `run` does; the dict is the session's from now on.

        An engine that copies its inputs takes each out when it has: what the dict alone holds is
        then not in memory twice while the network runs.
        """
        if self._closed:
            raise BackendError(type(self).__name__, "run", "the session is closed")
        if set(inputs) != set(self.input_names):
            raise InvalidInputError(
                f"inputs: expected {', '.join(self.input_names)}; received {', '.join(inputs)}"
            )
        for name in inputs:
            _require_contiguous(name, inputs[name])
        return self._run(inputs)

    def clone(self) -> Session | None:
        """A second session that shares this one's weights, for another thread.

        Call it while this session is idle. None where the engine has no such thing.

        Raises:
            BackendError: the session is closed, or the engine failed.
        """
        if self._closed:
            raise BackendError(type(self).__name__, "clone", "the session is closed")
        return self._clone()

    def close(self) -> None:
        """Free the engine's memory. Closing twice does nothing."""
        if not self._closed:
            self._closed = True
            self._close()

    @abstractmethod
    def _run(self, inputs: dict[str, AnyArray]) -> list[AnyArray]: ...

    @abstractmethod
    def _close(self) -> None: ...

    def _clone(self) -> Session | None:
        return None


def _require_contiguous(name: str, array: AnyArray) -> None:
    if not array.flags.c_contiguous:
        raise InvalidInputError(
            f"inputs[{name!r}]: expected a C-contiguous array; "
            f"received strides {array.strides} for shape {array.shape}"
        )


class Backend(ABC):
    """An engine. Has no state; subclasses import the engine inside their methods only.

    Attributes:
        name: as in `hpi_config` and `backend_named`.
        format: what `open` loads: Paddle's own files, or an ONNX program whose weights lie in
            Paddle's parameter file.
    """

    name: ClassVar[str]
    format: ClassVar[ProgramFormat]

    @abstractmethod
    def probe(self) -> Probe:
        """Look whether the engine is installed and which devices it has; never raises."""

    @abstractmethod
    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        """Load a network.

        Args:
            files: program and parameters in this backend's `format`.
            options: how to run it.

        Raises:
            InvalidInputError: an engine-specific setting is unknown or out of range.
            BackendUnavailableError: the engine, the device or the precision is not here.
            BackendError: the engine refused the network.
        """

    def quantizer(self, device: Device) -> str | None:
        """Name and version of what makes int8 programs for a device; None where nothing does.

        Where there is one, `open` takes int8 programs that `quantize` made, and no others.
        """
        return None

    def quantize(self, files: ModelFiles, feeds: Iterable[Feeds]) -> bytes:
        """The network in int8, as `open` takes it with these parameters and `precision="int8"`.

        Args:
            files: program and parameters in this backend's `format`.
            feeds: inputs as they come from real pictures; the ranges of the 8 bits follow them.

        Raises:
            BackendUnavailableError: the backend has no quantiser.
            BackendError: the quantiser refused the network, or there are no feeds.
        """
        raise BackendUnavailableError(
            self.name, "it has no quantiser.", "Choose another precision or backend."
        )


def refuse_settings(backend: str, settings: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse engine-specific settings that the backend does not know.

    Raises:
        InvalidInputError: a name is not among the known ones.
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
    """The engine's version; refuses where the engine is not here, or has no such device.

    Args:
        backend: whose engine.
        device: where the network shall run; None where the backend sees to that itself.
        hint: what to do where the engine is missing.

    Raises:
        BackendUnavailableError: the engine or the device is not here.
    """
    probe = backend.probe()
    if probe.version is None:
        raise BackendUnavailableError(backend.name, f"{probe.reason}.", hint)
    if device is not None and str(device) not in probe.devices:
        raise BackendUnavailableError(
            backend.name,
            f"device {device} is not here; this build, {probe.version}, "
            f"has {', '.join(probe.devices)}.",
            "Choose one of these, or install the engine's build for your device.",
        )
    return probe.version


def require_cpu(backend: str, options: SessionOptions) -> None:
    """Refuse any other device.

    Raises:
        BackendUnavailableError: another one is asked for.
    """
    if options.device.kind != "cpu":
        raise BackendUnavailableError(
            backend, f"it runs on the CPU only, not on {options.device}.", "Use device='cpu'."
        )


def require_precision(backend: str, options: SessionOptions, *known: Precision) -> None:
    """Refuse precisions that the backend does not have.

    Raises:
        BackendUnavailableError: the precision is not among the known ones.
    """
    if options.precision not in known:
        raise BackendUnavailableError(
            backend,
            f"it runs in {' or '.join(known)} here, not in {options.precision}.",
            "Choose another precision or backend.",
        )
