# SPDX-License-Identifier: Apache-2.0
"""Limits the time and memory of tuning, and reports its progress."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from hpip.common.interpreter import find_interpreter
from hpip.errors import InvalidInputError

logger = logging.getLogger(__name__)

BUDGET_VARIABLE = "HPIP_TUNE_BUDGET_S"
BACKGROUND_VARIABLE = "HPIP_TUNE_BACKGROUND"
_DEFAULT_BUDGET_S = 60.0
_NO_LIMIT_S = 1e9
# The budget of `hpip tune`, where no caller waits for results.
THOROUGH_BUDGET_S = 3600.0


@dataclass(frozen=True)
class Limits:
    """Time and memory limits of tuning.

    Attributes:
        budget_s: total time in seconds. 0 means: accept the first valid engine in the configured
            order, checked on one image, without a time limit.
        step_s: time to load a model or to run one image, in seconds; an engine that takes longer
            counts as hung.
        memory_bytes: memory of each child process; None for most of the available memory.
    """

    budget_s: float
    step_s: float = 300.0
    memory_bytes: int | None = None


def default_limits() -> Limits:
    """Limits for the first use of a model; HPIP_TUNE_BUDGET_S sets the time.

    Raises:
        InvalidInputError: the variable is not a number of seconds.
    """
    text = os.environ.get(BUDGET_VARIABLE, "")
    try:
        seconds = float(text) if text else _DEFAULT_BUDGET_S
    except ValueError as error:
        raise InvalidInputError(
            f"{BUDGET_VARIABLE}: expected a number of seconds; received {text!r}"
        ) from error
    if not 0 <= seconds < float("inf"):
        raise InvalidInputError(
            f"{BUDGET_VARIABLE}: expected a number of seconds, at least 0; received {text!r}"
        )
    return Limits(seconds)


def without_tuning() -> dict[str, str]:
    """Environment for a process that uses cached tuning results and does not tune."""
    # A budget of 0 has a meaning of its own; its result is cached after the first use.
    return {BUDGET_VARIABLE: "0.001"} if default_limits().budget_s > 0 else {}


def may_tune_in_background() -> bool:
    """Whether this process may continue tuning in a child process.

    Raises:
        InvalidInputError: HPIP_TUNE_BACKGROUND is neither 0 nor 1.
    """
    text = os.environ.get(BACKGROUND_VARIABLE, "1")
    if text not in ("0", "1"):
        raise InvalidInputError(f"{BACKGROUND_VARIABLE}: expected 0 or 1; received {text!r}")
    return text == "1" and find_interpreter() is not None


class Clock:
    """Measures how much of a tuning budget is left."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._end = time.monotonic() + limits.budget_s

    @property
    def quick(self) -> bool:
        """True for budget 0: accept the first valid engine, without a time limit."""
        return self.limits.budget_s == 0

    @property
    def left_s(self) -> float:
        """Remaining seconds, at least 0."""
        return _NO_LIMIT_S if self.quick else max(0.0, self._end - time.monotonic())

    def step_s(self, most_s: float | None = None) -> float:
        """Time limit of the next step, in seconds, at most `most_s`."""
        limit = self.limits.step_s if most_s is None else min(most_s, self.limits.step_s)
        return min(limit, self.left_s)


def _tell(text: str) -> None:
    logger.info("%s", text)
    # Without this line, the first prediction at a terminal would seem to hang.
    if sys.stderr is not None and sys.stderr.isatty() and not logger.isEnabledFor(logging.INFO):
        print(f"hpip: {text}", file=sys.stderr, flush=True)


# Called with a line of text at the start of each tuning step; the command line replaces it.
tell: ContextVar[Callable[[str], None]] = ContextVar("tell", default=_tell)
