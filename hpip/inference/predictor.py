# SPDX-License-Identifier: Apache-2.0
"""One model on one device: preprocess, run, postprocess."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from hpip.backends.paddle import PaddleBackend
from hpip.common.closing import Closing
from hpip.common.devices import Device, parse_devices
from hpip.common.file_names import unique_stem
from hpip.common.system import available_cpus, has_nvidia_driver
from hpip.common.timing import Stopwatch
from hpip.errors import BackendError, InvalidInputError
from hpip.inference.arguments import (
    check_count,
    check_engine_options,
    check_score_threshold,
    resolve_classes,
)
from hpip.inference.batches import FailureReport, OnFailure, Outcome, read_batches
from hpip.inference.execution.postprocess import Instances, Selection
from hpip.inference.execution.runner import Engine
from hpip.inference.fallback import FallbackRunner
from hpip.inference.tuning.candidates import EngineOptions
from hpip.inference.tuning.choose import Choice, choose
from hpip.inputs.sources import Source
from hpip.model.official import find_model
from hpip.model.spec import ModelSpec, load_model_spec
from hpip.results.label_text import check_font
from hpip.results.result import InstanceSegResult
from hpip.types import UInt8Array

logger = logging.getLogger(__name__)


class Predictor(Closing):
    """Segments images with one model; made by `create_predictor`.

    Safe to call from several threads: pre- and postprocessing run side by side, the network takes
    one caller at a time. A forked child loads the network anew when it first predicts. With a
    `choice`, that is what runs; without one, `choose` decides.
    """

    def __init__(
        self,
        spec: ModelSpec,
        device: Device,
        *,
        use_hpip: bool,
        threads: int,
        batch_size: int,
        selection: Selection,
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
        self._selection = selection
        self._font_path = font_path
        self.choice: Choice = choice or choose(
            spec, device, use_hpip=use_hpip, threads=threads, options=engine_options
        )
        self._plan = self.choice.plan
        self.workers = workers
        self._runner = FallbackRunner(
            self.choice, spec.preprocess, workers=workers, batch_size=batch_size
        )
        logger.debug("opened %s on %s with %d threads", spec.model_name, device, threads)

    @property
    def engine(self) -> Engine:
        """What runs the network."""
        return self._runner.engine

    @property
    def max_batch_size(self) -> int | None:
        """Images that one run may take; None for any number."""
        return self._plan.max_batch_size

    def predict(
        self,
        input: Any,
        threshold: float | None = None,
        *,
        max_detections: int | None = None,
        classes: Collection[int | str] | int | str | None = None,
        on_failure: OnFailure | None = None,
    ) -> Iterator[InstanceSegResult]:
        """Segment images, one result at a time, in input order.

        Args:
            input: an image, or many: see `hpip.inputs.sources.iter_sources`.
            threshold: lowest score, 0 to 1; None takes the predictor's.
            max_detections: keep this many of the highest scores in each picture.
            classes: keep these classes only, by label or id.
            on_failure: called with the name of an input that can't be read, and the error.

        Returns:
            A generator. Arguments are checked at the call, images are read as they are needed.

        Raises:
            InvalidInputError: an argument is out of contract, or the one image given can't be read.
                In a list, directory or pattern a bad input is left out, logged as a warning and
                handed to `on_failure`; the others come out.
            FailedInputsError: none of the inputs of a list, directory or pattern could be read.
            BackendError: the engine failed, or the predictor was closed before the last image.
        """
        selection = self.select(threshold, max_detections, classes)
        report = FailureReport(input, on_failure)
        return self._predict(input, selection, report)

    def select(
        self,
        threshold: float | None = None,
        max_detections: int | None = None,
        classes: Collection[int | str] | int | str | None = None,
    ) -> Selection:
        """Check one request's choices and fill in the predictor's own where they are None.

        Raises:
            InvalidInputError: a choice is out of contract.
        """
        mine = self._selection
        return Selection(
            mine.score_threshold if threshold is None else check_score_threshold(threshold),
            mine.max_detections
            if max_detections is None
            else check_count(max_detections, "max_detections"),
            mine.class_ids if classes is None else resolve_classes(classes, self.spec.labels),
        )

    def segment(self, sources: Sequence[Source], selection: Selection) -> Iterator[Outcome]:
        """Segment images that have been read, in as few runs as the model and their sizes allow.

        Where a run fails, its images are tried one by one, so that a picture that is too large
        takes no other down; the error stands in its place.
        """
        plan, limit = self.spec.preprocess, self._plan.max_batch_size
        for _, same_size in groupby(sources, lambda s: plan.network_hw(_hw(s))):
            group = list(same_size)
            step = len(group) if limit is None else min(limit, len(group))
            for start in range(0, len(group), step):
                yield from self._segment_together(group[start : start + step], selection)

    def warm_up(self, image_hw: tuple[int, int] = (480, 640)) -> None:
        """Run the network once on a grey picture, so that the first real one is not slower."""
        grey = np.full((*image_hw, 3), 128, np.uint8)
        for _ in self.predict(grey):
            pass

    def explain(self) -> str:
        """Tell what runs where, and why, and what speaks against every other engine."""
        batch = self._plan.max_batch_size
        verdict = self.choice.verdict
        selection = None if verdict is None else verdict.selection
        rejected = () if selection is None else selection.rejected
        return "\n".join(
            [
                f"model:   {self.spec.model_name} ({self.spec.model_dir})",
                f"runs:    {self._plan.summary}; {self.choice.reason}",
                f"engine:  {self._runner.summary}"
                + (f"; {selection.reason}" if selection and self.choice.floor else ""),
                f"device:  {self.engine.device}, {self.threads} CPU threads"
                + (f" for each of {self.workers} workers" if self.workers > 1 else ""),
                f"batch:   {self.batch_size} asked for, "
                + ("any size runs at once" if batch is None else f"the export takes {batch}"),
                f"keeps:   scores from {self._selection.score_threshold:g}",
                *(f"not on:  {name}: {why}" for name, why in rejected),
            ]
        )

    def close(self) -> None:
        """Free the network's memory; calls in other threads finish first. Twice does nothing."""
        self._runner.close()

    def _predict(
        self, input: Any, selection: Selection, report: FailureReport
    ) -> Iterator[InstanceSegResult]:
        for batch in read_batches(input, self.batch_size, report):
            yield from report.deliver(self.segment(batch, selection))
        report.finish()

    def _segment_together(
        self, sources: Sequence[Source], selection: Selection
    ) -> Iterator[Outcome]:
        watch = Stopwatch()
        try:
            found = self._run(sources, selection, watch)
        except BackendError as error:
            if self._runner.is_closed:  # every image to come would fail likewise
                raise
            if len(sources) == 1:
                yield sources[0], error
                return
            for source in sources:
                yield from self._segment_together([source], selection)
            return
        results = [self._result(*pair) for pair in zip(sources, found, strict=True)]
        watch.lap("postprocess")
        times = watch.share(len(sources))
        for source, result in zip(sources, results, strict=True):
            result.stage_times = replace(times, read_ms=source.read_ms)
            yield source, result

    def _run(
        self, sources: Sequence[Source], selection: Selection, watch: Stopwatch
    ) -> list[Instances]:
        return self._runner.infer([_image(source) for source in sources], selection, watch)

    def _result(self, source: Source, found: Instances) -> InstanceSegResult:
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
        model_name: an official model's name, or "demo"; may be left out when `model_dir` is given.
        model_dir: directory with inference.yml, inference.json or .pdmodel, inference.pdiparams.
            Given, nothing is looked up or downloaded.
        device: `cpu`, `gpu:0`, `npu:0`, `xpu:0` or `mlu:0`; None takes `gpu:0` where Paddle has
            one, else `cpu`.
        use_hpip: False runs the untouched program on plain Paddle, the reference; None means True.
        hpi_config: PaddleX's mapping: `auto_config`, `backend`, `backend_config`,
            `auto_paddle2onnx`. A named backend is never replaced: it works, or the error says why
            not. Without one, the fastest that gives plain Paddle's answers is chosen.
        batch_size: images per run. Exports that take one image are run in a loop.
        threshold: lowest score; None takes the model's own `draw_threshold`.
        max_detections: keep this many of the highest scores in each picture.
        classes: keep these classes only, by label or id.
        threads: CPU threads; None takes those that the process may use.
        precision: the lowest that is allowed: "auto" (which is "fp32"), "fp32", "bf16", "fp16" or
            "int8". A lower one than fp32 is used where it passes its gate; int8 needs to be
            calibrated once, by `hpip tune --precision int8 --input PICTURES` (docs/backends.md).
        workers: callers in other threads that are served at once; they share the weights where the
            engine can, and `threads` among them. One is quickest for one caller, more do more work
            in all.
        font_path: TrueType or OpenType font for the labels on drawings. Without it, labels outside
            ASCII are drawn in a font of the extra `fonts` or of the system.

    Raises:
        InvalidInputError: an argument is out of contract.
        ModelNotFoundError: the model is not on disk and can't be downloaded.
        ModelFormatError: the model directory is damaged or of an unknown kind.
        BackendUnavailableError: the engine or the device is not here.
        BackendError: the engine can't load the model.
    """
    if model_name is None and model_dir is None:
        raise InvalidInputError("expected a model_name or a model_dir; received neither")
    options = check_engine_options(hpi_config, precision)
    font = check_font(font_path)
    devices = () if device is None else parse_devices(device)
    if len(devices) > 1:
        raise InvalidInputError(
            f"device: a predictor takes one device, received {device!r}; "
            "create_pipeline takes several"
        )
    spec = load_model_spec(find_model(model_name or "", model_dir))
    count = check_count(threads or options.threads or available_cpus(), "threads")
    return Predictor(
        spec,
        devices[0] if devices else _default_device(),
        use_hpip=True if use_hpip is None else bool(use_hpip),
        threads=max(1, count // check_count(workers, "workers")),
        batch_size=check_count(batch_size, "batch_size"),
        selection=Selection(
            spec.score_threshold if threshold is None else check_score_threshold(threshold),
            None if max_detections is None else check_count(max_detections, "max_detections"),
            resolve_classes(classes, spec.labels),
        ),
        engine_options=options,
        workers=workers,
        font_path=font,
    )


def _default_device() -> Device:
    # Asking Paddle means importing it, for seconds, which an engine of its own does not need.
    if not has_nvidia_driver():
        return Device("cpu")
    probe = PaddleBackend().probe()
    return Device("gpu", 0) if "gpu:0" in probe.devices else Device("cpu")


def _image(source: Source) -> UInt8Array:
    if source.image is None:
        raise InvalidInputError(f"{source.name}: expected an image that was read") from source.error
    return source.image


def _hw(source: Source) -> tuple[int, int]:
    image = _image(source)
    return image.shape[0], image.shape[1]
