# SPDX-License-Identifier: Apache-2.0
"""Runs the chosen engine, with a fallback engine if it fails; changes it while it runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from hpip.common.timing import Stopwatch
from hpip.errors import BackendError, HpipError
from hpip.inference.execution.postprocess import InstanceFilter, Instances
from hpip.inference.execution.runner import Engine, Runner
from hpip.inference.tuning.candidates import BASELINE
from hpip.inference.tuning.choose import Choice
from hpip.inference.tuning.records import label
from hpip.types import PreprocessPlan, UInt8Array

logger = logging.getLogger(__name__)


class FallbackRunner:
    """Runs the chosen engine, and the choice's fallback engine when that one fails.

    An engine that passed validation during tuning may still fail on a particular image, or be
    uninstalled later. Safe to call from several threads.

    Raises:
        BackendUnavailableError, BackendError: the fallback engine can't load the model, or there is
            none.
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
        self._batch_size = batch_size
        self._lock = threading.Lock()
        self._fallback: Runner | None = None
        self._closed = False
        try:
            self._runner = Runner(
                choice.plan, preprocess, choice.engine, workers=workers, batch_size=batch_size
            )
        except HpipError as error:
            if not self._may_fall_back:
                raise
            logger.warning(
                "%s could not load the model, so %s runs it, which is slower: %s. "
                "`hpip doctor` checks the engines.",
                label(choice.engine),
                self._fallback_name,
                error,
            )
            self._runner = self._open_fallback()

    @property
    def engine(self) -> Engine:
        """The engine that runs the network: the chosen one, or the fallback engine."""
        return self._runner.engine

    @property
    def is_closed(self) -> bool:
        """Whether `close` has been called."""
        return self._closed

    @property
    def summary(self) -> str:
        """The engine in words, for reports."""
        name = label(self._runner.engine)
        if self._runner.engine != self._choice.engine:
            return f"{name} (fallback: {label(self._choice.engine)} could not load the model)"
        return name

    @property
    def choice(self) -> Choice:
        """The present choice of the graph and the engine."""
        return self._choice

    def switch(self, choice: Choice) -> bool:
        """Load another choice, and run it from the next batch on.

        Returns:
            Whether the graph or the engine changed.

        Raises:
            HpipError: the engine can't load the model; the present one continues to run.
        """
        same_graph = type(choice.plan) is type(self._choice.plan)
        if same_graph and choice.engine == self._runner.engine:
            self._choice = choice
            return False
        runner = Runner(
            choice.plan,
            self._preprocess,
            choice.engine,
            workers=self._workers,
            batch_size=self._batch_size,
        )
        with self._lock:
            if self._closed:
                retired = [runner]
            else:
                retired = [self._runner, *([self._fallback] if self._fallback else [])]
                self._runner, self._choice, self._fallback = runner, choice, None
        for one in retired:
            one.close()
        return runner not in retired

    def infer(
        self, images: Sequence[UInt8Array], instance_filter: InstanceFilter, watch: Stopwatch
    ) -> list[Instances]:
        """Run a batch; see `Runner.infer`.

        Raises:
            BackendError: the fallback engine failed too, or there is none, or the runner is closed.
        """
        runner = self._runner
        try:
            return runner.infer(images, instance_filter, watch)
        except BackendError as error:
            if runner is not self._runner:  # `switch` closed it before this batch could start
                return self.infer(images, instance_filter, watch)
            if self._closed or not self._may_fall_back:
                raise
            logger.warning(
                "%s runs this batch, because the engine failed: %s", self._fallback_name, error
            )
        return self._open_fallback().infer(images, instance_filter, watch)

    def close(self) -> None:
        """Free the engines' memory once calls in other threads have ended. May be called again."""
        with self._lock:
            self._closed = True
            fallback = self._fallback
        self._runner.close()
        if fallback is not None:
            fallback.close()

    @property
    def _may_fall_back(self) -> bool:
        return self._choice.fallback not in (None, self._choice.engine)

    @property
    def _fallback_name(self) -> str:
        fallback = self._choice.fallback
        assert fallback is not None
        return "plain Paddle" if fallback.backend == BASELINE else label(fallback)

    def _open_fallback(self) -> Runner:
        with self._lock:
            if self._closed:
                raise BackendError(self._fallback_name, "open", "the predictor is closed")
            if self._fallback is None:
                assert self._choice.fallback is not None
                self._fallback = Runner(
                    self._choice.plan,
                    self._preprocess,
                    self._choice.fallback,
                    workers=self._workers,
                )
            return self._fallback
