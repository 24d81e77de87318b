# SPDX-License-Identifier: Apache-2.0
"""The contract between hpip and an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from hpip.devices import Device
from hpip.errors import BackendError, InvalidInputError
from hpip.types import AnyArray, ModelFiles


@dataclass(frozen=True)
class SessionOptions:
    """How to open a session.

    Attributes:
        device: where the network runs.
        threads: CPU threads of the engine, at least 1.
    """

    device: Device
    threads: int


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
            inputs: one C-contiguous array for each of `input_names`; they are read in place and
                must not change until the call returns.

        Returns:
            One new array for each of `output_names`, owned by the caller.

        Raises:
            InvalidInputError: an input is missing, unknown, or not C-contiguous.
            BackendError: the engine failed, or the session is closed.
        """
        if self._closed:
            raise BackendError(type(self).__name__, "run", "the session is closed")
        if set(inputs) != set(self.input_names):
            raise InvalidInputError(
                f"inputs: expected {', '.join(self.input_names)}; received {', '.join(inputs)}"
            )
        for name, array in inputs.items():
            if not array.flags.c_contiguous:
                raise InvalidInputError(
                    f"inputs[{name!r}]: expected a C-contiguous array; "
                    f"received strides {array.strides} for shape {array.shape}"
                )
        return self._run(inputs)

    def close(self) -> None:
        """Free the engine's memory. Closing twice does nothing."""
        if not self._closed:
            self._closed = True
            self._close()

    @abstractmethod
    def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]: ...

    @abstractmethod
    def _close(self) -> None: ...


class Backend(ABC):
    """An engine. Subclasses import it inside their methods only."""

    name: str

    @abstractmethod
    def probe(self) -> Probe:
        """Look whether the engine is installed and which devices it has; never raises."""

    @abstractmethod
    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        """Load a network.

        Raises:
            BackendUnavailableError: the engine or the device is not here.
            BackendError: the engine refused the network.
        """
