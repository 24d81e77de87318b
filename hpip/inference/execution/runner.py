# SPDX-License-Identifier: Apache-2.0
"""Runs a plan on an engine, from images to instances."""

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
from hpip.inference.execution.feeds import session_feeds
from hpip.inference.execution.plan import Plan
from hpip.inference.execution.postprocess import InstanceFilter, Instances
from hpip.inference.execution.preprocess import example_inputs, network_inputs, network_size_range
from hpip.inference.execution.program_formats import artifact, bundled_int8, int8_artifact
from hpip.types import AnyArray, ModelFiles, PreprocessPlan, Segment, UInt8Array


@dataclass(frozen=True)
class Engine:
    """A backend and its configuration.

    Attributes:
        backend: one of `backend_names`.
        device: the device that runs the network.
        threads: CPU threads.
        precision: arithmetic precision.
        settings: options specific to the backend; see `SessionOptions.settings`.
        takes_all: True if the engine must run every segment of a plan; otherwise plain Paddle runs
            the segments that the engine can't load.
        calibration: key of the calibration images of an int8 program; empty if the backend needs
            none.
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
    """Restrict a plan's example feeds to the inputs of one segment.

    None for a segment that reads the outputs of another step, because their sizes depend on the
    content of the image.
    """
    if examples is None or not set(segment.inputs) <= set(examples[0]):
        return None
    smallest, typical, largest = ({name: one[name] for name in segment.inputs} for one in examples)
    return smallest, typical, largest


class Runner:
    """Runs a plan on an engine; safe to call from several threads.

    The constructor loads the network, so that errors appear there; a forked process loads it again.

    Args:
        plan: the graph and the remaining native work.
        preprocess: steps from an image to the network's input.
        engine: the engine that runs the plan.
        shares_cpu: True if other runners work at the same time.
        workers: number of concurrent callers, each with the engine's threads.
        batch_size: maximum batch size; engines that are built for a range of shapes support
            batches up to this size.
        build_dir: folder for engine builds; None for the user's cache.

    Attributes:
        refused: segments that the engine can't load, with the reasons; plain Paddle runs them.

    Raises:
        InvalidInputError: the backend or one of its settings is unknown.
        BackendUnavailableError: the engine, the device or the precision is not available.
        BackendError: the engine can't load any segment, or can't load one although it `takes_all`.
        GraphRewriteError: the same for an engine that takes ONNX, if hpip can't convert an
            operator.
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
            lambda: plan.open(self._open_segment, threads=engine.threads),
            size=workers if backend_named(engine.backend).parallel else 1,
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
        # A plan with one step needs all weights, and hpip must be able to run an original graph
        # that it can't parse.
        if len(self.plan.steps) > 1 and backend.format == "paddle" and options.device.kind == "cpu":
            with used_weights(files) as chosen:
                return backend.open(chosen, options)
        if options.precision == "int8" and (stored := bundled_int8(files)) is not None:
            return backend.open(stored, options)
        if options.precision == "int8" and self.engine.calibration:
            found = int8_artifact(files, backend, options.device, self.engine.calibration)
            return backend.open(found, options)
        return backend.open(artifact(files, backend.format), options)

    def _examples(self, most_images: int) -> tuple[Feeds, Feeds, Feeds] | None:
        """Smallest, typical and largest feeds of the plan; None on the CPU, which needs none."""
        if self.engine.device.kind == "cpu":
            return None
        smallest, typical, largest = (
            self.plan.feeds(example_inputs(network_hw, count), InstanceFilter(0.5))
            for network_hw, count in zip(
                network_size_range(self._preprocess), (1, 1, most_images), strict=True
            )
        )
        return smallest, typical, largest

    def infer(
        self,
        images: Sequence[UInt8Array],
        instance_filter: InstanceFilter,
        watch: Stopwatch | None = None,
    ) -> list[Instances]:
        """Return the instances of each image of a batch that pass the filter.

        Args:
            images: at least one (H, W, 3) BGR image; all must have the same network size.
            instance_filter: which instances to return.
            watch: records per-stage latency.

        Raises:
            BackendError: the engine failed, or the runner is closed.
        """
        watch = watch or Stopwatch()
        inputs = network_inputs(images, self._preprocess, threads=self.engine.threads)
        feeds = self.plan.feeds(inputs, instance_filter)
        watch.lap("preprocess")
        with self._pool.lease() as session:
            watch.lap("wait")
            outputs = session.run(session_feeds(session, feeds))
            watch.lap("infer")
        sizes_hw = [(image.shape[0], image.shape[1]) for image in images]
        return self.plan.collect(
            outputs, inputs, sizes_hw, instance_filter, threads=self.engine.threads
        )

    def infer_at(
        self, image: UInt8Array, instance_filters: Sequence[InstanceFilter]
    ) -> list[Instances]:
        """Return one image's instances for each filter, with as few network runs as possible.

        Raises:
            BackendError: the engine failed, or the runner is closed.
        """
        inputs = network_inputs([image], self._preprocess, threads=self.engine.threads)
        sizes_hw = [(image.shape[0], image.shape[1])]
        found: list[Instances] = []
        outputs: list[AnyArray] = []
        for instance_filter in instance_filters:
            feeds = self.plan.feeds(inputs, instance_filter)
            with self._pool.lease() as session:
                # A graph without the threshold as an input returns the same for all filters.
                if not outputs or set(session.input_names) - set(inputs):
                    outputs = session.run(session_feeds(session, feeds))
            found += self.plan.collect(
                outputs, inputs, sizes_hw, instance_filter, threads=self.engine.threads
            )
        return found

    def close(self) -> None:
        """Free the engine's memory once calls in other threads have ended. May be called again."""
        self._pool.close()


def open_session(files: ModelFiles, engine: Engine) -> Session:
    """Load a program on an engine, converted to the engine's format if needed.

    Raises:
        InvalidInputError: the backend or one of its settings is unknown.
        BackendUnavailableError: the engine, the device or the precision is not available.
        BackendError: the engine can't load the program.
        ModelFormatError: a file is damaged, or the parameters do not belong to the program.
        GraphRewriteError: the engine takes ONNX, and hpip can't convert an operator.
    """
    backend = backend_named(engine.backend)
    options = SessionOptions(engine.device, engine.threads, engine.precision, engine.settings)
    return backend.open(artifact(files, backend.format), options)
