# SPDX-License-Identifier: Apache-2.0
"""The definition of a benchmark case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Run = Callable[[], Any]
"""One timed call; returns its output for the comparison."""

HPIP = "hpip"
"""The name of hpip among the contenders."""


@dataclass(frozen=True)
class Case:
    """One operation, implemented by hpip and by the libraries that users would choose instead.

    Attributes:
        name: the operation; the same for all image sizes.
        image_size: size of the input: "480p", "1080p", "4K", or another short name.
        contenders: name -> function that takes the number of threads, prepares everything that a
            caller would prepare once (buffers, plans), and returns the timed call. One of them is
            named `HPIP`; the others may raise `UnavailableError`.
        compare: raises AssertionError if hpip's output (first argument) and another contender's
            (second) differ. The third argument is the other contender's name.
        bytes_moved: bytes that any implementation must read and write at least once, for the
            comparison with the bandwidth of a copy.
        wanted: contender -> goal for hpip's speed-up over it, on one thread with warm caches.
    """

    name: str
    image_size: str
    contenders: dict[str, Callable[[int], Run]]
    compare: Callable[[Any, Any, str], None]
    bytes_moved: int
    wanted: dict[str, float] = field(default_factory=dict)


class UnavailableError(Exception):
    """A contender can't run: its library is not installed, or it has one thread only."""
