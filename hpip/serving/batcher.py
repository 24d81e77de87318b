# SPDX-License-Identifier: Apache-2.0
"""Collects items that may share one run of the network."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from time import monotonic
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Batcher(Generic[Item]):
    """A queue whose readers take items of one kind together; safe for any number of threads.

    Args:
        max_size: most items of a batch.
        timeout_s: how long the oldest item waits for others of its kind while there are fewer.
    """

    def __init__(self, max_size: int, timeout_s: float) -> None:
        self._max_size = max_size
        self._timeout_s = timeout_s if max_size > 1 else 0.0
        self._waiting: list[tuple[Hashable, float, Item]] = []
        self._changed = threading.Condition()

    def put(self, kind: Hashable, item: Item) -> None:
        """Add an item; those of equal `kind` may share a batch."""
        with self._changed:
            self._waiting.append((kind, monotonic(), item))
            self._changed.notify_all()

    def take(self) -> list[Item]:
        """Wait for items and remove a batch, the oldest item first."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: bool(self._waiting))
                kind, arrived_s, _ = self._waiting[0]
                left_s = arrived_s + self._timeout_s - monotonic()
                if left_s <= 0 or self._count(kind) >= self._max_size:
                    return self._remove(kind)
                # Another reader may take the batch meanwhile; so everything is looked at afresh.
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
