# SPDX-License-Identifier: Apache-2.0
"""Collects items into batches."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from time import monotonic
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Batcher(Generic[Item]):
    """A queue whose readers take batches of items of the same kind. Thread-safe.

    Args:
        max_size: maximum number of items in a batch.
        timeout_s: maximum time that the oldest item waits for others to fill its batch.
    """

    def __init__(self, max_size: int, timeout_s: float) -> None:
        self._max_size = max_size
        self._timeout_s = timeout_s if max_size > 1 else 0.0
        self._waiting: list[tuple[Hashable, float, Item]] = []
        self._changed = threading.Condition()

    def put(self, kind: Hashable, item: Item) -> None:
        """Add an item; items of equal `kind` may share a batch."""
        with self._changed:
            self._waiting.append((kind, monotonic(), item))
            self._changed.notify_all()

    def take(self) -> list[Item]:
        """Wait for a batch and remove it from the queue; it begins with the oldest item."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: bool(self._waiting))
                kind, arrived_s, _ = self._waiting[0]
                left_s = arrived_s + self._timeout_s - monotonic()
                if left_s <= 0 or self._count(kind) >= self._max_size:
                    return self._remove(kind)
                # Another reader may take the batch meanwhile, so the loop starts over.
                self._changed.wait(left_s)

    def _count(self, kind: Hashable) -> int:
        return sum(entry[0] == kind for entry in self._waiting)

    def _remove(self, kind: Hashable) -> list[Item]:
        batch: list[Item] = []
        rest = []
        for entry in self._waiting:
            if entry[0] == kind and len(batch) < self._max_size:
                batch.append(entry[2])
            else:
                rest.append(entry)
        self._waiting = rest
        return batch
