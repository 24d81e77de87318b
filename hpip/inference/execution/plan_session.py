# SPDX-License-Identifier: Apache-2.0
"""Runs a plan: graph segments in the sessions of their engines, and native steps in between."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hpip.backends.base import Session
from hpip.errors import BackendError, InvalidInputError
from hpip.inference.execution.feeds import session_feeds
from hpip.inference.execution.native_steps import run_native_step
from hpip.types import AnyArray, NativeStep, PlanStep, Segment


class PlanSession(Session):
    """Runs all steps of a plan as one session; for one thread at a time, like any session.

    It frees a value as soon as no later step reads it: the feature maps of a large image after the
    last RoIAlign, and the pooled regions when the engine has copied them.

    Args:
        steps: segments and native steps, in order.
        outputs: names of the values to return.
        open_segment: opens a segment on its engine.
        threads: CPU threads of the native steps.
    """

    def __init__(
        self,
        steps: Sequence[PlanStep],
        outputs: Sequence[str],
        open_segment: Callable[[Segment], Session],
        *,
        threads: int,
    ) -> None:
        self._steps = tuple(steps)
        self._threads = threads
        self._sessions: dict[str, Session] = {}
        try:
            for step in self._steps:
                if isinstance(step, Segment):
                    self._sessions[step.name] = open_segment(step)
        except BaseException:
            self._close()
            raise
        made: set[str] = set()
        fed: dict[str, None] = {}
        for step in self._steps:
            fed.update(dict.fromkeys(name for name in self._reads(step) if name not in made))
            made.update(step.outputs)
        self._dropped = self._last_reads(set(outputs))
        super().__init__(tuple(fed), tuple(outputs))

    def _reads(self, step: PlanStep) -> tuple[str, ...]:
        """Inputs that a step reads; an engine may have removed inputs that it does not use."""
        return (
            step.inputs if isinstance(step, NativeStep) else self._sessions[step.name].input_names
        )

    def _last_reads(self, kept: set[str]) -> list[list[str]]:
        """Names of the values to free after each step."""
        last: dict[str, int] = {}
        for index, step in enumerate(self._steps):
            last.update(dict.fromkeys((*step.inputs, *step.outputs), index))
        dropped: list[list[str]] = [[] for _ in self._steps]
        for name, index in last.items():
            if name not in kept:
                dropped[index].append(name)
        return dropped

    def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
        values = dict(inputs)
        for step, dropped in zip(self._steps, self._dropped, strict=True):
            # Results in a local variable would stay in memory while the next step runs.
            values.update(zip(step.outputs, self._run_step(step, values, dropped), strict=True))
            for name in dropped:
                values.pop(name, None)
        return [values[name] for name in self.output_names]

    def _run_step(
        self, step: PlanStep, values: dict[str, AnyArray], dropped: Sequence[str]
    ) -> list[AnyArray]:
        if isinstance(step, NativeStep):
            try:
                arrays = [values[name] for name in step.inputs]
                return run_native_step(step, arrays, threads=self._threads)
            except InvalidInputError as error:
                # The caller is not at fault: an engine returned values that no image leads to.
                raise BackendError("plan", step.kind, str(error)) from error
        if step.rows and len(values[step.rows]) == 0:
            return [np.empty(spec.shape, spec.dtype) for spec in step.empty_outputs]
        session = self._sessions[step.name]
        given = session_feeds(session, values)
        for name in dropped:
            values.pop(name, None)
        if step.row_inputs and len(given[step.rows]) > step.max_rows:
            return _run_in_chunks(session, step, given)
        return session.consume(given)

    def _clone(self) -> Session | None:
        twins: dict[str, Session] = {}
        for name, session in self._sessions.items():
            twin = session.clone()
            if twin is None:
                for made in twins.values():
                    made.close()
                return None
            twins[name] = twin
        return PlanSession(
            self._steps,
            self.output_names,
            lambda segment: twins[segment.name],
            threads=self._threads,
        )

    def _close(self) -> None:
        for session in self._sessions.values():
            session.close()


def _run_in_chunks(session: Session, step: Segment, given: dict[str, AnyArray]) -> list[AnyArray]:
    """Run a segment in the fewest chunks of about equal size that have at most `max_rows` rows."""
    rows = len(given[step.rows])
    runs = math.ceil(rows / step.max_rows)
    outputs: list[AnyArray] = []
    for number in range(runs):
        first, end = (rows * n // runs for n in (number, number + 1))
        chunk = {
            name: array[first:end] if name in step.row_inputs else array
            for name, array in given.items()
        }
        for index, part in enumerate(session.run(chunk)):
            if number == 0:
                outputs.append(np.empty((rows, *part.shape[1:]), part.dtype))
            outputs[index][first:end] = part
    return outputs
