# SPDX-License-Identifier: Apache-2.0
"""How much time and memory tuning may take, and how it tells what it is doing."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from hpip.errors import InvalidInputError

logger = logging.getLogger(__name__)

BUDGET_VARIABLE = "HPIP_TUNE_BUDGET_S"
_DEFAULT_BUDGET_S = 60.0
_NO_LIMIT_S = 1e9
# What had this share of the budget had a fair chance to end. The machine may have been busy: later
# starts give it another one, but not for ever.
_MOST_OF_IT, _ATTEMPTS = 0.8, 3
# What `hpip tune` takes: nobody waits for a picture then.
THOROUGH_BUDGET_S = 3600.0


@dataclass(frozen=True)
class Limits:
    """What tuning may take.

    Attributes:
        budget_s: for everything; 0 takes the first engine of the prior order that gives the right
            answer on one picture, whatever that takes.
        step_s: for loading a model or running one picture; longer is a hang.
        memory_bytes: for each child process; None takes most of what is free.
    """

    budget_s: float
    step_s: float = 300.0
    memory_bytes: int | None = None


def default_limits() -> Limits:
    """What a model's first use may take: HPIP_TUNE_BUDGET_S.

    Raises:
        InvalidInputError: the variable is not a number of seconds.
    """
    text = os.environ.get(BUDGET_VARIABLE, "")
    try:
        seconds = float(text) if text else _DEFAULT_BUDGET_S
    except ValueError as error:
        raise InvalidInputError(
            f"{BUDGET_VARIABLE}: expected a number of seconds, received {text!r}"
        ) from error
    if not 0 <= seconds < float("inf"):
        raise InvalidInputError(
            f"{BUDGET_VARIABLE}: expected a number of seconds from 0 on, received {text!r}"
        )
    return Limits(seconds)


def without_tuning() -> dict[str, str]:
    """Variables for a process that takes what tuning knows already, and does not go on with it."""
    # A budget of 0 has another meaning, and is quick where it has been used before.
    return {BUDGET_VARIABLE: "0.001"} if default_limits().budget_s > 0 else {}


class Clock:
    """What is left of a budget."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._end = time.monotonic() + limits.budget_s

    @property
    def quick(self) -> bool:
        """Whether only the least is to be done, without a limit in all."""
        return self.limits.budget_s == 0

    @property
    def left_s(self) -> float:
        """Seconds that are left, at least 0."""
        return _NO_LIMIT_S if self.quick else max(0.0, self._end - time.monotonic())

    def gives_up(self, allowed_s: float, attempts: int) -> bool:
        """Whether what did not end in this time, so often, is not worth another try.

        A budget that is larger than before, or was mostly used by other steps, is one.
        """
        had_most_of_it = allowed_s >= _MOST_OF_IT * (self.limits.budget_s or _NO_LIMIT_S)
        return had_most_of_it and attempts >= _ATTEMPTS

    def step_s(self, most_s: float | None = None) -> float:
        """Seconds that the next step may take."""
        limit = self.limits.step_s if most_s is None else min(most_s, self.limits.step_s)
        return min(limit, self.left_s)


def _tell(text: str) -> None:
    logger.info("%s", text)
    # Someone who waits at a terminal for the first picture wants to know what for.
    if sys.stderr is not None and sys.stderr.isatty() and not logger.isEnabledFor(logging.INFO):
        print(f"hpip: {text}", file=sys.stderr, flush=True)


# Called with one line for each thing that tuning begins; the command line shows it its own way.
tell: ContextVar[Callable[[str], None]] = ContextVar("tell", default=_tell)
