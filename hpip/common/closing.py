# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar

# `typing.Self` came with Python 3.11.
_Self = TypeVar("_Self", bound="Closing")


class Closing(ABC):
    """A context manager that calls `close` on exit and suppresses no exception."""

    @abstractmethod
    def close(self) -> None:
        """Free all resources. Closing twice does nothing."""

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
