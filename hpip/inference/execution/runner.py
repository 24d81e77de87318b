# SPDX-License-Identifier: Apache-2.0
"""A plan on an engine: from pictures to instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hpip.backends.base import Backend, Feeds, Precision, Session, SessionOptions
from hpip.backends.paddle import PaddleBackend, plain_paddle_device
from hpip.backends.pool import SessionPool
from hpip.backends.registry import backend_named
from hpip.common.cache import engine_builds_dir
from hpip.common.devices import Device
from hpip.common.timing import Stopwatch
from hpip.errors import BackendError, GraphRewriteError, ModelFormatError
from hpip.graph.used_weights import used_weights
from hpip.inference.execution.plan import Plan
from hpip.inference.execution.postprocess import Instances, Selection
from hpip.inference.execution.preprocess import example_inputs, network_inputs, network_size_range
from hpip.inference.execution.program_formats import artifact, int8_artifact
from hpip.types import AnyArray, ModelFiles, PreprocessPlan, Segment, UInt8Array


@dataclass(frozen=True)
class Engine:
    """Which backend runs a network, and how.

    Attributes:
        backend: a name of `backend_names`.
        device: where it runs.
        threads: CPU threads.
        precision: its arithmetic.
        settings: what this backend alone knows; see `SessionOptions.settings`.
        takes_all: it is to run every segment of a plan; else those that it refuses are left to
            plain Paddle.
        calibration: names the pictures that an int8 program was made from; empty where the
            backend needs none.
    """

    backend: str
    device: Device
    threads: int
    precision: Precision = "fp32"
    settings: Mapping[str, Any] = field(default_factory=dict)
    takes_all: bool = False
    calibration: str = ""


def segment_examples(
    segment: Segment, examples: tuple[Feeds, Feeds, Feeds] | None
) -> tuple[Feeds, Feeds, Feeds] | None:
    """What a plan's example feeds say about a segment of it.

    None for a segment behind another step: what it is fed depends on what is in the picture.
    """
    if examples is None or not set(segment.inputs) <= set(examples[0]):
        return None
    smallest, usual, largest = ({name: one[name] for name in segment.inputs} for one in examples)
    return smallest, usual, largest


class Runner:
    """Runs a plan on an engine; safe to call from several threads.

    The network is loaded at once, so that a bad one is found here; a forked child loads it anew.

    Args:
        plan: what to run.
        preprocess: what turns pictures into the network's input.
        engine: what runs it.
        shares_cpu: other runners work beside this one.
        workers: callers that the network may serve at once, each with the engine's threads.
        batch_size: images that a run will get at most; engines that are built for a range of
            shapes are built up to it.
        build_dir: where engines keep what they build; None takes the user's cache.

    Attributes:
        refused: segments that the engine refused, which plain Paddle runs, with the reason.

    Raises:
        InvalidInputError: the backend or one of its settings is unknown.
        BackendUnavailableError: the engine, the device or the precision is not here.
        BackendError: the engine refused every segment, or one where it `takes_all`.
        GraphRewriteError: likewise; it wants ONNX, and an operator has no counterpart there.
    """

    def __init__(
        self,
        plan: Plan,
        preprocess: PreprocessPlan,
        engine: Engine,
        *,
        shares_cpu: bool = False,
        workers: int = 1,
        batch_size: int = 1,
        build_dir: Path | None = None,
    ) -> None:
        self.plan = plan
        self.engine = engine
        self._preprocess = preprocess
        self._options = SessionOptions(
            engine.device,
            engine.threads,
            engine.precision,
            engine.settings,
            shares_cpu or workers > 1,
            self._examples(min(batch_size, plan.max_batch_size or batch_size)),
            build_dir or engine_builds_dir(),
        )
        self.refused: dict[str, str] = {}
        self._pool = SessionPool(
            lambda: plan.open(self._open_segment, threads=engine.threads), size=workers
        )
        self._pool.fill()

    def _open_segment(self, segment: Segment) -> Session:
        backend = backend_named(self.engine.backend)
        examples = segment_examples(segment, self._options.examples)
        try:
            return self._open(backend, segment.files, replace(self._options, examples=examples))
        except (BackendError, GraphRewriteError, ModelFormatError) as error:
            self.refused[segment.name] = str(error)
            segments = sum(isinstance(step, Segment) for step in self.plan.steps)
            if self.engine.takes_all or len(self.refused) == segments:
                raise
        plain = SessionOptions(
            plain_paddle_device(self.engine.device),
            self.engine.threads,
            shares_cpu=self._options.shares_cpu,
        )
        return self._open(PaddleBackend(), segment.files, plain)

    def _open(self, backend: Backend, files: ModelFiles, options: SessionOptions) -> Session:
        # A whole program reads all its weights, and the export must not depend on being understood.
        if len(self.plan.steps) > 1 and backend.format == "paddle" and options.device.kind == "cpu":
            with used_weights(files) as chosen:
                return backend.open(chosen, options)
        if options.precision == "int8" and self.engine.calibration:
            found = int8_artifact(files, backend, options.device, self.engine.calibration)
            return backend.open(found, options)
        return backend.open(artifact(files, backend.format), options)

    def _examples(self, most_images: int) -> tuple[Feeds, Feeds, Feeds] | None:
        """Smallest, usual and largest feeds of the plan, where engines may need them."""
        if self.engine.device.kind == "cpu":
            return None
        smallest, usual, largest = (
            self.plan.feeds(example_inputs(network_hw, count), Selection(0.5))
            for network_hw, count in zip(
                network_size_range(self._preprocess), (1, 1, most_images), strict=True
            )
        )
        return smallest, usual, largest

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


def open_session(files: ModelFiles, engine: Engine) -> Session:
    """Load a program on an engine, in the format that the engine takes.

    Raises:
        InvalidInputError: the backend or one of its settings is unknown.
        BackendUnavailableError: the engine, the device or the precision is not here.
        BackendError: the engine refused the network.
        ModelFormatError: a file is damaged, or the parameters do not belong to the program.
        GraphRewriteError: the engine wants ONNX, and an operator has no counterpart there.
    """
    backend = backend_named(engine.backend)
    options = SessionOptions(engine.device, engine.threads, engine.precision, engine.settings)
    return backend.open(artifact(files, backend.format), options)
