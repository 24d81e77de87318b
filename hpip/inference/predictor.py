# SPDX-License-Identifier: Apache-2.0
"""Runs one model on one device: preprocessing, network, postprocessing."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from hpip.backends.onnxruntime import OnnxRuntimeBackend
from hpip.backends.paddle import PaddleBackend
from hpip.backends.registry import backend_named
from hpip.common.closing import Closing
from hpip.common.devices import Device, parse_devices
from hpip.common.file_names import unique_stem
from hpip.common.system import available_cpus, has_nvidia_driver
from hpip.common.timing import StageTimes, Stopwatch
from hpip.errors import BackendError, HpipError, InvalidInputError
from hpip.inference.arguments import (
    check_count,
    check_engine_options,
    check_score_threshold,
    resolve_classes,
)
from hpip.inference.batches import Batch, OnFailure, Outcome, predict_in_batches
from hpip.inference.execution.postprocess import InstanceFilter, Instances
from hpip.inference.execution.runner import Engine
from hpip.inference.fallback import FallbackRunner
from hpip.inference.report import engine_table, heading
from hpip.inference.tuning.budget import tell
from hpip.inference.tuning.candidates import EngineOptions
from hpip.inference.tuning.choose import Choice, choose, continue_tuning
from hpip.inference.tuning.records import label
from hpip.inputs.sources import Source
from hpip.model.official import find_model
from hpip.model.spec import ModelSpec, load_model_spec
from hpip.results.label_text import check_font
from hpip.results.result import InstanceSegResult
from hpip.types import UInt8Array

logger = logging.getLogger(__name__)


class Predictor(Closing):
    """Segments images with one model; `create_predictor` creates it.

    Safe to call from several threads: pre- and postprocessing run concurrently, and the network
    takes one caller at a time, or as many as there are workers. A forked process loads the network
    again at its first prediction.

    If hpip had no time to try all engines, tuning continues in a child process of low priority
    (unless HPIP_TUNE_BACKGROUND is 0), and the predictor changes to a faster engine between two
    batches.
    """

    def __init__(
        self,
        spec: ModelSpec,
        device: Device,
        *,
        use_hpip: bool,
        threads: int,
        batch_size: int,
        instance_filter: InstanceFilter,
        engine_options: EngineOptions | None = None,
        workers: int = 1,
        choice: Choice | None = None,
        font_path: Path | None = None,
    ) -> None:
        # On every start: a file may be cut after its program has been compiled and checked.
        spec.check_parameters()
        self.spec = spec
        self.device = device
        self.use_hpip = use_hpip
        self.threads = threads
        self.batch_size = batch_size
        self._instance_filter = instance_filter
        self._font_path = font_path
        choice = choice or choose(
            spec, device, use_hpip=use_hpip, threads=threads, options=engine_options
        )
        self.workers = workers
        self._runner = FallbackRunner(
            choice, spec.preprocess, workers=workers, batch_size=batch_size
        )
        self._tuning = continue_tuning(choice, self._on_tuned)
        logger.debug("opened %s on %s with %d threads", spec.model_name, device, threads)

    @property
    def engine(self) -> Engine:
        """The engine that runs the network."""
        return self._runner.engine

    @property
    def choice(self) -> Choice:
        """The graph and the engine that hpip chose, and why."""
        return self._runner.choice

    @property
    def max_batch_size(self) -> int | None:
        """Maximum number of images per run; None for no maximum."""
        return self.choice.plan.max_batch_size

    def predict(
        self,
        input: Any,
        threshold: float | None = None,
        *,
        max_detections: int | None = None,
        classes: Collection[int | str] | int | str | None = None,
        on_failure: OnFailure | None = None,
    ) -> Iterator[InstanceSegResult]:
        """Segment images; yields one result per image, in input order.

        Args:
            input: one or more images; see `hpip.inputs.sources.iter_sources`.
            threshold: score threshold, from 0 to 1; None for the predictor's.
            max_detections: maximum number of instances per image, those with the highest scores.
            classes: classes to return, by label or id; None for the predictor's.
            on_failure: called with the name of each failed input, and its error.

        Returns:
            A generator. The call checks the arguments; images are read as they are needed.

        Raises:
            InvalidInputError: an argument is not valid, or the only image can't be read. An
                unreadable input of a list, directory or pattern is logged, passed to `on_failure`
                and skipped.
            FailedInputsError: all inputs of a list, directory or pattern failed.
            BackendError: the engine failed on the only image, or the predictor was closed before
                the last one.
        """
        instance_filter = self.select(threshold, max_detections, classes)

        def segment_batches(batches: Iterator[Batch]) -> Iterator[Outcome]:
            for batch in batches:
                yield from self.segment(batch.sources, instance_filter, batch.read_ms)

        return predict_in_batches(input, self.batch_size, segment_batches, on_failure)

    def select(
        self,
        threshold: float | None = None,
        max_detections: int | None = None,
        classes: Collection[int | str] | int | str | None = None,
    ) -> InstanceFilter:
        """Validate filter arguments, and replace None by the predictor's defaults.

        Args:
            threshold: score threshold, from 0 to 1.
            max_detections: maximum number of instances per image.
            classes: classes to return, by label or id.

        Raises:
            InvalidInputError: an argument is not valid.
        """
        mine = self._instance_filter
        return InstanceFilter(
            mine.score_threshold if threshold is None else check_score_threshold(threshold),
            mine.max_detections
            if max_detections is None
            else check_count(max_detections, "max_detections"),
            mine.class_ids if classes is None else resolve_classes(classes, self.spec.labels),
        )

    def segment(
        self,
        sources: Sequence[Source],
        instance_filter: InstanceFilter,
        read_ms: Sequence[float] = (),
    ) -> Iterator[Outcome]:
        """Segment images that have been read, in as few runs as the model and their sizes allow.

        If a run fails, its images run one by one, so that only the failing image has an error.

        Args:
            sources: the images.
            instance_filter: which instances to return.
            read_ms: time to read each image, for its `stage_times`; empty if unknown.

        Yields:
            Each source with its result or error, in order.
        """
        plan, limit = self.spec.preprocess, self.max_batch_size
        timed = zip(sources, read_ms or [0.0] * len(sources), strict=True)
        for _, same_size in groupby(timed, lambda pair: plan.network_hw(_hw(pair[0]))):
            group = list(same_size)
            step = len(group) if limit is None else min(limit, len(group))
            for start in range(0, len(group), step):
                yield from self._segment_together(group[start : start + step], instance_filter)

    def warm_up(self, image_hw: tuple[int, int] = (480, 640)) -> None:
        """Run the network once on a grey image, so that the first prediction is not slower."""
        grey = np.full((*image_hw, 3), 128, np.uint8)
        for _ in self.predict(grey):
            pass

    def explain(self) -> str:
        """Report the graph, the engine and their settings, and why hpip rejected other engines.

        The report ends with a table of engines: the chosen one first, then each rejected one with
        the reason.
        """
        limit = self.max_batch_size
        threads = f"{self.threads} CPU thread{'s' * (self.threads != 1)}"
        supported = "any batch size" if limit is None else f"at most {limit} per run"
        entries = [
            ("model", f"{self.spec.model_name} ({self.spec.model_dir})"),
            ("graph", f"{self.choice.plan.summary} ({self.choice.reason})"),
            ("engine", self._runner.summary),
            ("device", f"{self.engine.device}, {threads}{self._per_worker()}"),
            ("batch size", f"{self.batch_size} (the graph supports {supported})"),
            ("score threshold", f"{self._instance_filter.score_threshold:g}"),
        ]
        return f"{heading(entries)}\n\n{engine_table(self.choice, self.engine)}"

    def close(self) -> None:
        """Free the engine's memory once calls in other threads have ended. May be called again."""
        if self._tuning is not None:
            self._tuning.close()
        self._runner.close()

    def _on_tuned(self, choice: Choice) -> None:
        """Change to what tuning found in the background."""
        name = self.spec.model_name
        try:
            has_changed = self._runner.switch(choice)
        except HpipError as error:
            logger.warning("%s stays on %s: %s", name, label(self.engine), error)
            return
        if has_changed:
            reason = choice.engine_reason
            tell.get()(f"{name} runs on {label(choice.engine)} from now on: {reason}")

    def _per_worker(self) -> str:
        if self.workers == 1:
            return ""
        if backend_named(self.engine.backend).parallel:
            return f" for each of {self.workers} workers"
        return (
            f"; {self.workers} workers take turns, because {self.engine.backend} runs one batch "
            "at a time"
        )

    def _segment_together(
        self, timed: Sequence[tuple[Source, float]], instance_filter: InstanceFilter
    ) -> Iterator[Outcome]:
        watch = Stopwatch()
        images = [_image(source) for source, _ in timed]
        try:
            found = self._runner.infer(images, instance_filter, watch)
        except BackendError as error:
            if self._runner.is_closed:  # every image to come would fail likewise
                raise
            if len(timed) == 1:
                yield timed[0][0], error
                return
            for pair in timed:
                yield from self._segment_together([pair], instance_filter)
            return
        watch.lap("postprocess")
        times = watch.share(len(timed))
        for (source, read_ms), instances in zip(timed, found, strict=True):
            yield source, self._result(source, instances, replace(times, read_ms=read_ms))

    def _result(
        self, source: Source, found: Instances, stage_times: StageTimes
    ) -> InstanceSegResult:
        return InstanceSegResult(
            input_path=source.input_path,
            page_index=source.page_index,
            name=source.stem if source.input_path else unique_stem(source.stem),
            subfolder=source.subfolder,
            font_path=self._font_path,
            image=_image(source),
            class_ids=found.class_ids,
            scores=found.scores,
            boxes_xyxy=found.boxes_xyxy,
            masks=found.masks,
            labels=[self.spec.label(int(class_id)) for class_id in found.class_ids],
            full_image_masks=self.spec.outputs.layout == "classes",
            stage_times=stage_times,
        )


def create_predictor(
    model_name: str | None = None,
    *,
    model_dir: str | Path | None = None,
    device: str | None = None,
    use_hpip: bool | None = None,
    hpi_config: Mapping[str, Any] | None = None,
    batch_size: int = 1,
    threshold: float | None = None,
    max_detections: int | None = None,
    classes: Collection[int | str] | int | str | None = None,
    threads: int | None = None,
    precision: str = "auto",
    workers: int = 1,
    font_path: str | Path | None = None,
) -> Predictor:
    """Load one model on one device.

    Args:
        model_name: name of an official model, or "demo"; optional if `model_dir` is given.
        model_dir: directory with inference.yml, inference.json or .pdmodel, and
            inference.pdiparams; or a bundle of `hpip export`. With it, hpip does not download
            anything.
        device: `cpu`, `gpu:0`, `npu:0`, `xpu:0` or `mlu:0`; None for `gpu:0` if Paddle, or ONNX
            Runtime for a bundle, supports it, or else `cpu`.
        use_hpip: False runs the original graph on plain Paddle, the reference; None means True.
        hpi_config: PaddleX's mapping with the keys `auto_config`, `backend`, `backend_config` and
            `auto_paddle2onnx`. hpip never replaces a named backend: if it fails, hpip raises an
            error. Without a name, hpip chooses the fastest engine whose results match plain
            Paddle's.
        batch_size: images per run. Graphs that take one image run in a loop.
        threshold: score threshold; None for the model's `draw_threshold`.
        max_detections: maximum number of instances per image, those with the highest scores.
        classes: classes to return, by label or id; None for all.
        threads: CPU threads; None for all that the process may use.
        precision: lowest allowed precision: "auto" (fp32), "fp32", "bf16", "fp16" or "int8". hpip
            uses a precision below fp32 only if its results are within the tolerances. int8 needs
            one calibration, with `hpip tune --precision int8 --input IMAGES` (docs/backends.md).
        workers: number of threads that may run the network concurrently. They divide `threads`
            among them, and share the weights if the engine supports it. One worker has the lowest
            latency, several have a higher throughput. With `paddle_onednn`, which runs one batch
            at a time in a process, they take turns.
        font_path: TrueType or OpenType font for the labels on drawings. Without it, labels outside
            ASCII are drawn in a font of the extra `fonts` or of the system.

    Raises:
        InvalidInputError: an argument is not valid, or the original graph of a bundle is wanted.
        ModelNotFoundError: the model is not on disk, and hpip can't download it.
        ModelFormatError: the model directory or bundle is damaged, or not supported.
        BackendUnavailableError: the engine or the device is not available, or no engine that can
            run a bundle.
        BackendError: the engine can't load the model; or no engine has the results that a bundle
            was exported with.
    """
    if model_name is None and model_dir is None:
        raise InvalidInputError("expected a model_name or a model_dir; received neither")
    options = check_engine_options(hpi_config, precision)
    font = check_font(font_path)
    devices = () if device is None else parse_devices(device)
    if len(devices) > 1:
        raise InvalidInputError(
            f"device: expected one device for a predictor; received {device!r}. "
            "create_pipeline accepts several"
        )
    spec = load_model_spec(find_model(model_name or "", model_dir))
    asked = options.threads if threads is None else threads
    count = check_count(available_cpus() if asked is None else asked, "threads")
    return Predictor(
        spec,
        devices[0] if devices else _default_device(spec),
        use_hpip=True if use_hpip is None else bool(use_hpip),
        threads=_threads_per_run(count, check_count(workers, "workers"), options.backend),
        batch_size=check_count(batch_size, "batch_size"),
        instance_filter=InstanceFilter(
            spec.score_threshold if threshold is None else check_score_threshold(threshold),
            None if max_detections is None else check_count(max_detections, "max_detections"),
            resolve_classes(classes, spec.labels),
        ),
        engine_options=options,
        workers=workers,
        font_path=font,
    )


def _threads_per_run(threads: int, workers: int, backend: str | None) -> int:
    """Workers divide the threads, unless the named backend runs one of them at a time."""
    if backend is not None and not backend_named(backend).parallel:
        return threads
    return max(1, threads // workers)


def _default_device(spec: ModelSpec) -> Device:
    # Importing Paddle to ask it takes seconds, which other engines can do without.
    if not has_nvidia_driver():
        return Device("cpu")
    probe = (PaddleBackend() if spec.bundle is None else OnnxRuntimeBackend()).probe()
    return Device("gpu", 0) if "gpu:0" in probe.devices else Device("cpu")


def _image(source: Source) -> UInt8Array:
    if source.image is None:
        raise InvalidInputError(f"{source.name}: expected a source with an image") from source.error
    return source.image


def _hw(source: Source) -> tuple[int, int]:
    image = _image(source)
    return image.shape[0], image.shape[1]
