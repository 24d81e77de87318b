# SPDX-License-Identifier: Apache-2.0
"""A plan on an engine: from pictures to instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpip.artifacts import artifact
from hpip.backends.base import Precision, SessionOptions
from hpip.backends.pool import SessionPool
from hpip.backends.registry import backend_named
from hpip.devices import Device
from hpip.plans import Plan
from hpip.postprocess import Instances, Selection
from hpip.preprocess import network_inputs
from hpip.timing import Stopwatch
from hpip.types import AnyArray, PreprocessPlan, UInt8Array


@dataclass(frozen=True)
class Engine:
    """Which backend runs a network, and how.

    Attributes:
        backend: a name of `backend_names`.
        device: where it runs.
        threads: CPU threads.
        precision: its arithmetic.
        settings: what this backend alone knows; see `SessionOptions.settings`.
    """

    backend: str
    device: Device
    threads: int
    precision: Precision = "fp32"
    settings: Mapping[str, Any] = field(default_factory=dict)


class Runner:
    """Runs a plan on an engine; safe to call from several threads.

    The network is loaded at once, so that a bad one is found here; a forked child loads it anew.

    Args:
        plan: what to run.
        preprocess: what turns pictures into the network's input.
        engine: what runs it.
        shares_cpu: other runners work beside this one.

    Raises:
        InvalidInputError: the backend or one of its settings is unknown.
        BackendUnavailableError: the engine, the device or the precision is not here.
        BackendError: the engine refused the network.
        GraphRewriteError: the engine wants ONNX, and an operator has no counterpart there.
    """

    def __init__(
        self,
        plan: Plan,
        preprocess: PreprocessPlan,
        engine: Engine,
        *,
        shares_cpu: bool = False,
    ) -> None:
        self.plan = plan
        self.engine = engine
        self._preprocess = preprocess
        backend = backend_named(engine.backend)
        options = SessionOptions(
            engine.device, engine.threads, engine.precision, engine.settings, shares_cpu
        )
        self._pool = SessionPool(
            lambda: plan.open(
                lambda segment: backend.open(artifact(segment.files, backend.format), options),
                threads=engine.threads,
            )
        )
        with self._pool.lease():
            pass

    def infer(
        self,
        images: Sequence[UInt8Array],
        selection: Selection,
        watch: Stopwatch | None = None,
    ) -> list[Instances]:
        """The kept instances of each image; the images have one network size.

        Args:
            images: (H, W, 3) BGR pictures, at least one.
            selection: what to keep.
            watch: is told where the time goes.

        Raises:
            BackendError: the engine failed, or the runner is closed.
        """
        watch = watch or Stopwatch()
        inputs = network_inputs(images, self._preprocess, threads=self.engine.threads)
        feeds = self.plan.feeds(inputs, selection)
        watch.lap("preprocess")
        with self._pool.lease() as session:
            watch.lap("wait")
            outputs = session.run({name: feeds[name] for name in session.input_names})
            watch.lap("infer")
        sizes_hw = [(image.shape[0], image.shape[1]) for image in images]
        return self.plan.collect(outputs, inputs, sizes_hw, selection, threads=self.engine.threads)

    def infer_at(self, image: UInt8Array, selections: Sequence[Selection]) -> list[Instances]:
        """One image's instances for each selection, in as few runs of the network as that takes.

        Raises:
            BackendError: the engine failed, or the runner is closed.
        """
        inputs = network_inputs([image], self._preprocess, threads=self.engine.threads)
        sizes_hw = [(image.shape[0], image.shape[1])]
        found: list[Instances] = []
        outputs: list[AnyArray] = []
        for selection in selections:
            feeds = self.plan.feeds(inputs, selection)
            with self._pool.lease() as session:
                # A program that is not fed the threshold gives the same for all of them.
                if not outputs or set(session.input_names) - set(inputs):
                    outputs = session.run({name: feeds[name] for name in session.input_names})
            found += self.plan.collect(
                outputs, inputs, sizes_hw, selection, threads=self.engine.threads
            )
        return found

    def close(self) -> None:
        """Free the network's memory; calls in other threads finish first. Twice does nothing."""
        self._pool.close()
