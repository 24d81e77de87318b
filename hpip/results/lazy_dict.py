# SPDX-License-Identifier: Apache-2.0
"""A dict that can compute values at their first access."""

from __future__ import annotations

import enum
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, TypeVar

_Self = TypeVar("_Self", bound="LazyDict")


class _Unmade(enum.Enum):
    """Marks a value that has not been computed yet; an enum, whose copies are identical."""

    UNMADE = enum.auto()


UNMADE = _Unmade.UNMADE
_MISSING = object()


class LazyDict(dict[str, Any]):
    """A dict in which `UNMADE` marks values that `make` computes at first access.

    All methods read through `__getitem__`, and write through `__setitem__` and `__delitem__`, which
    subclasses extend; the methods of `dict` itself would bypass them. (The definition of `__iter__`
    makes `dict(d)`, `{**d}` and `update` call `__getitem__`, too.)
    """

    def make(self, key: str) -> Any:
        """Compute the value of a key that is marked `UNMADE`."""
        raise NotImplementedError

    def is_made(self, key: str) -> bool:
        """Whether the key exists and its value has been computed or set."""
        return super().get(key, UNMADE) is not UNMADE

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if value is UNMADE:
            value = self.make(key)
            super().__setitem__(key, value)
        return value

    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def get(self, key: str, default: Any = None) -> Any:
        """As `dict.get`."""
        return self[key] if key in self else default  # noqa: SIM401

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """As `dict.keys`."""
        return KeysView(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """As `dict.items`."""
        return ItemsView(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """As `dict.values`."""
        return ValuesView(self)

    def pop(self, key: str, default: Any = _MISSING) -> Any:
        """As `dict.pop`."""
        if key not in self and default is not _MISSING:
            return default
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """As `dict.popitem`."""
        if not self:
            raise KeyError("popitem(): the mapping is empty")
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self) -> None:
        """As `dict.clear`."""
        for key in list(self):
            del self[key]

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As `dict.setdefault`."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *others: Any, **values: Any) -> None:
        """As `dict.update`."""
        for key, value in dict(*others, **values).items():
            self[key] = value

    def copy(self: _Self) -> _Self:
        """Return a shallow copy of the same class."""
        rebuild, arguments = self.__reduce__()
        copied: _Self = rebuild(*arguments)
        return copied

    def __or__(self, other: Any) -> dict[str, Any]:  # type: ignore[override]
        return {**self, **other} if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Any) -> dict[str, Any]:  # type: ignore[override]
        return {**other, **self} if isinstance(other, Mapping) else NotImplemented

    def __ior__(self: _Self, other: Any) -> _Self:  # type: ignore[override]
        self.update(other)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raw = {key: super(LazyDict, self).__getitem__(key) for key in self}
        return _rebuild, (type(self), raw, dict(self.__dict__))


def _rebuild(kind: type[LazyDict], raw: dict[str, Any], attributes: dict[str, Any]) -> LazyDict:
    """Create a mapping with these values and attributes, without calling its constructor."""
    made = kind.__new__(kind)
    dict.update(made, raw)
    made.__dict__.update(attributes)
    return made
