# SPDX-License-Identifier: Apache-2.0
"""The chosen engine, with plain Paddle behind it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from hpip.common.timing import Stopwatch
from hpip.errors import BackendError, HpipError
from hpip.inference.execution.postprocess import Instances, Selection
from hpip.inference.execution.runner import Engine, Runner
from hpip.inference.tuning.choose import Choice
from hpip.inference.tuning.records import label
from hpip.types import PreprocessPlan, UInt8Array

logger = logging.getLogger(__name__)


class FallbackRunner:
    """Runs the choice; where its engine fails, plain Paddle answers in its place.

    An engine that was right and fast at tuning may still refuse one picture, or be gone after an
    upgrade. Safe to call from several threads.

    Raises:
        BackendUnavailableError, BackendError: plain Paddle, or an engine that the caller named,
            can't be opened.
    """

    def __init__(
        self,
        choice: Choice,
        preprocess: PreprocessPlan,
        *,
        workers: int = 1,
        batch_size: int = 1,
    ) -> None:
        self._choice = choice
        self._preprocess = preprocess
        self._workers = workers
        self._lock = threading.Lock()
        self._floor: Runner | None = None
        self._closed = False
        try:
            self._runner = Runner(
                choice.plan, preprocess, choice.engine, workers=workers, batch_size=batch_size
            )
        except HpipError as error:
            if not self._may_fall_back:
                raise
            logger.warning("plain Paddle serves: %s", error)
            self._runner = self._open_floor()

    @property
    def engine(self) -> Engine:
        """What runs the network."""
        return self._runner.engine

    @property
    def is_closed(self) -> bool:
        """Whether `close` has been called."""
        return self._closed

    @property
    def summary(self) -> str:
        """Which engine runs, for people."""
        name = label(self._runner.engine)
        if self._runner.engine != self._choice.engine:
            return f"{name}, since {label(self._choice.engine)} could not be opened"
        return name

    def infer(
        self, images: Sequence[UInt8Array], selection: Selection, watch: Stopwatch
    ) -> list[Instances]:
        """See `Runner.infer`."""
        try:
            return self._runner.infer(images, selection, watch)
        except BackendError as error:
            if self._closed or not self._may_fall_back:
                raise
            logger.warning("plain Paddle takes over for one picture or batch: %s", error)
        return self._open_floor().infer(images, selection, watch)

    def close(self) -> None:
        """Free the networks' memory; calls in other threads finish first. Twice does nothing."""
        with self._lock:
            self._closed = True
            floor = self._floor
        self._runner.close()
        if floor is not None:
            floor.close()

    @property
    def _may_fall_back(self) -> bool:
        return self._choice.floor not in (None, self._choice.engine)

    def _open_floor(self) -> Runner:
        with self._lock:
            if self._closed:
                raise BackendError("plain Paddle", "open", "the predictor is closed")
            if self._floor is None:
                assert self._choice.floor is not None
                self._floor = Runner(
                    self._choice.plan, self._preprocess, self._choice.floor, workers=self._workers
                )
            return self._floor
