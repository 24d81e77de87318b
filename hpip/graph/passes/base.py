# SPDX-License-Identifier: Apache-2.0
"""Base class of passes: pre- and postconditions, and a reason if a pass does nothing."""

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
        program: the given program, which is modified in place.
        modified: whether the program was modified.
        reason: one line for reports: what was changed, or why nothing was.
        masks: the mask post-processing, from a pass that truncates the mask head.
    """

    program: Program
    modified: bool
    reason: str
    masks: MaskSource | None = None


# Exceptions that damaged attributes of a program cause in passes.
_DAMAGE = (HpipError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError)


class NoMatchError(Exception):
    """Raised if the pattern of a pass does not match; the program is unchanged."""


class Pass(ABC):
    """One rewrite. Subclasses match their whole pattern before they modify the program."""

    # Part of the cache key: increase it whenever the output of the pass changes.
    version: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """Class name, for logs, errors and the cache key."""
        return type(self).__name__

    def __call__(self, program: Program) -> PassResult:
        """Rewrite the program if it contains the pattern.

        Raises:
            GraphRewriteError: a postcondition failed, or the resulting program is invalid.
        """
        try:
            self._requires(program)
            result = self._apply(program)
            if result.modified:
                program.check()
                self._ensures(program)
        except NoMatchError as error:
            logger.debug("%s does not match: %s", self.name, error)
            return PassResult(program, modified=False, reason=str(error))
        except GraphRewriteError:
            raise
        except _DAMAGE as error:
            raise GraphRewriteError(
                self.name, f"failed with {type(error).__name__}: {error}"
            ) from error
        logger.debug("%s: %s", self.name, result.reason)
        return result

    @abstractmethod
    def _apply(self, program: Program) -> PassResult:
        """Match and rewrite the pattern; raise NoMatchError if there is none."""

    def _requires(self, program: Program) -> None:
        """Precondition: raise NoMatchError unless the pass applies to the program."""
        if not program.outputs:
            raise NoMatchError("the program has no outputs")

    def _ensures(self, program: Program) -> None:
        """Postcondition: raise GraphRewriteError unless the rewritten program is valid."""
        if not program.outputs:
            raise GraphRewriteError(self.name, "the rewritten program has no outputs")


@dataclass(frozen=True)
class SequenceResult:
    """Result of a sequence of passes; `steps` holds name and result of each pass."""

    program: Program
    masks: MaskSource | None
    steps: tuple[tuple[str, PassResult], ...]

    @property
    def modified(self) -> bool:
        """Whether any pass modified the program."""
        return any(result.modified for _, result in self.steps)


class Sequential:
    """Runs several passes in order."""

    def __init__(self, passes: Sequence[Pass]) -> None:
        self.passes = tuple(passes)

    def __call__(self, program: Program) -> SequenceResult:
        """Run all passes.

        Raises:
            GraphRewriteError: a pass failed; names it and the passes that ran before.
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
