# SPDX-License-Identifier: Apache-2.0
"""What every pass keeps to: conditions before and after, and a reason when it does nothing."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hpip.errors import GraphRewriteError, HpipError
from hpip.graph.program import Program
from hpip.types import MaskSource

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PassResult:
    """What a pass did.

    Attributes:
        program: the rewritten program; the given one, changed in place or not at all.
        modified: whether it was changed.
        reason: one line for people: what was done, or why nothing was.
        masks: what remains to be done natively, from a pass that cuts the mask tail.
    """

    program: Program
    modified: bool
    reason: str
    masks: MaskSource | None = None


# What reading a damaged program raises where a pass looks at it.
_DAMAGE = (HpipError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError)


class NoMatchError(Exception):
    """Raised while a pass looks for its pattern: the program stays as it is, for this reason."""


class Pass(ABC):
    """One rewrite. Subclasses find their pattern completely before they change anything."""

    # Part of the cache key: raise it whenever the pass writes something else than before.
    version: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """Class name, for logs, errors and the cache key."""
        return type(self).__name__

    def __call__(self, program: Program) -> PassResult:
        """Rewrite the program where the pattern is found.

        Raises:
            GraphRewriteError: a condition of the pass failed, or it broke the program.
        """
        try:
            self._requires(program)
            result = self._apply(program)
            if result.modified:
                program.check()
                self._ensures(program)
        except NoMatchError as error:
            logger.debug("%s leaves the program alone: %s", self.name, error)
            return PassResult(program, modified=False, reason=str(error))
        except GraphRewriteError:
            raise
        except _DAMAGE as error:
            raise GraphRewriteError(
                self.name, f"stopped by {type(error).__name__}: {error}"
            ) from error
        logger.debug("%s: %s", self.name, result.reason)
        return result

    @abstractmethod
    def _apply(self, program: Program) -> PassResult:
        """Find the pattern and rewrite it; raise NoMatchError where there is none."""

    def _requires(self, program: Program) -> None:
        """Raise NoMatchError unless the program is fit for this pass."""
        if not program.outputs:
            raise NoMatchError("the program returns nothing")

    def _ensures(self, program: Program) -> None:
        """Raise GraphRewriteError unless the rewritten program is as promised."""
        if not program.outputs:
            raise GraphRewriteError(self.name, "the rewritten program returns nothing")


@dataclass(frozen=True)
class SequenceResult:
    """What a sequence of passes did; `steps` holds the name and result of each."""

    program: Program
    masks: MaskSource | None
    steps: tuple[tuple[str, PassResult], ...]

    @property
    def modified(self) -> bool:
        """Whether any pass changed the program."""
        return any(result.modified for _, result in self.steps)


class Sequential:
    """Runs passes one after the other on the same program."""

    def __init__(self, passes: Sequence[Pass]) -> None:
        self.passes = tuple(passes)

    def __call__(self, program: Program) -> SequenceResult:
        """Run all passes.

        Raises:
            GraphRewriteError: names the pass that failed and those that had run before it.
        """
        steps: list[tuple[str, PassResult]] = []
        masks: MaskSource | None = None
        for step in self.passes:
            try:
                result = step(program)
            except GraphRewriteError as error:
                ran = ", ".join(name for name, _ in steps) or "none"
                raise GraphRewriteError(
                    error.pass_name, f"{error} (passes run before: {ran})", error.node
                ) from error
            masks = result.masks or masks
            steps.append((step.name, result))
        return SequenceResult(program, masks, tuple(steps))
