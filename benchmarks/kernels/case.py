# SPDX-License-Identifier: Apache-2.0
"""What a benchmark is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Run = Callable[[], Any]
"""One timed call; returns what it made, for the comparison."""

HPIP = "hpip"
"""The contender that all others are compared with."""


@dataclass(frozen=True)
class Case:
    """One piece of work, done by hpip and by what a user would pick instead.

    Attributes:
        name: what is done; the same for all pictures.
        picture: the input's size, "480p", "1080p" or "4K", or another short word.
        contenders: name -> function that takes the number of threads, prepares everything that a
            caller would prepare once (buffers, plans), and returns the timed call. One of them is
            named `HPIP`; on one thread the others may raise `UnavailableError`.
        compare: raises AssertionError unless hpip's output (first) is what the other one's is
            (second). The third argument is the other contender's name.
        bytes_moved: bytes that any implementation must read and write at least once: the roofline.
        wanted: contender -> how many times faster than it hpip has to be on one thread, warm.
    """

    name: str
    picture: str
    contenders: dict[str, Callable[[int], Run]]
    compare: Callable[[Any, Any, str], None]
    bytes_moved: int
    wanted: dict[str, float] = field(default_factory=dict)


class UnavailableError(Exception):
    """A contender's library is not installed; the message says which."""
