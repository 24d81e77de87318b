# SPDX-License-Identifier: Apache-2.0
"""The instance-segmentation pipeline, on one or several devices; PaddleX's entry point."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from hpip.common.closing import Closing
from hpip.common.devices import parse_devices
from hpip.errors import InvalidInputError
from hpip.inference.batches import Batch, OnFailure, Outcome, predict_in_batches
from hpip.inference.execution.postprocess import InstanceFilter
from hpip.inference.pipeline_file import PipelineConfig, load_pipeline_config
from hpip.inference.predictor import Predictor, create_predictor
from hpip.model.official import is_model_path
from hpip.results.result import InstanceSegResult


class InstanceSegPipeline(Closing):
    """Segments images with one predictor per device; `create_pipeline` creates it.

    Safe to call from several threads.
    """

    def __init__(self, predictors: Sequence[Predictor]) -> None:
        self.predictors = tuple(predictors)
        # Each predictor is listed as often as it supports concurrent callers.
        self._workers = tuple(p for p in predictors for _ in range(p.workers))

    def predict(
        self,
        input: Any,
        threshold: float | None = None,
        *,
        max_detections: int | None = None,
        classes: Collection[int | str] | int | str | None = None,
        on_failure: OnFailure | None = None,
    ) -> Iterator[InstanceSegResult]:
        """Segment images; yields one result per image, in input order. See `Predictor.predict`."""
        first = self.predictors[0]
        if len(self._workers) == 1:
            return first.predict(
                input,
                threshold,
                max_detections=max_detections,
                classes=classes,
                on_failure=on_failure,
            )
        instance_filter = first.select(threshold, max_detections, classes)
        return predict_in_batches(
            input,
            first.batch_size,
            lambda batches: _segment_in_parallel(self._workers, batches, instance_filter),
            on_failure,
        )

    def __call__(self, input: Any, **options: Any) -> Iterator[InstanceSegResult]:
        """Segment images; the same as `predict`."""
        return self.predict(input, **options)

    def warm_up(self, image_hw: tuple[int, int] = (480, 640)) -> None:
        """Run each device's network once, so that the first prediction is not slower."""
        for predictor in self.predictors:
            predictor.warm_up(image_hw)

    def explain(self) -> str:
        """Report for each device which graph and engine run, and why others do not."""
        return "\n\n".join(predictor.explain() for predictor in self.predictors)

    def close(self) -> None:
        """Free the engines' memory. May be called again."""
        for predictor in self.predictors:
            predictor.close()


def _segment_in_parallel(
    predictors: Sequence[Predictor], batches: Iterable[Batch], instance_filter: InstanceFilter
) -> Iterator[Outcome]:
    """Give each batch to the next free predictor; yields outcomes in input order.

    At most two batches per predictor are read ahead. This bounds the memory, and the time that
    other devices wait for a slow one (PaddleX 3.7 waits for all in each round: defect B8).
    """
    free: SimpleQueue[Predictor] = SimpleQueue()
    for predictor in predictors:
        free.put(predictor)

    def work(batch: Batch) -> list[Outcome]:
        predictor = free.get()
        try:
            return list(predictor.segment(batch.sources, instance_filter, batch.read_ms))
        finally:
            free.put(predictor)

    ahead: deque[Future[list[Outcome]]] = deque()
    with ThreadPoolExecutor(len(predictors), thread_name_prefix="hpip") as executor:
        try:
            for batch in batches:
                ahead.append(executor.submit(work, batch))
                if len(ahead) >= 2 * len(predictors):
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def create_pipeline(
    pipeline: str | Path | None = None,
    *,
    model: str | None = None,
    model_dir: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
    device: str | None = None,
    use_hpip: bool | None = None,
    hpi_config: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    threshold: float | None = None,
    max_detections: int | None = None,
    classes: Collection[int | str] | int | str | None = None,
    threads: int | None = None,
    precision: str = "auto",
    workers: int = 1,
    font_path: str | Path | None = None,
    engine: str | None = None,
    engine_config: Mapping[str, Any] | None = None,
    pp_option: Any = None,
) -> InstanceSegPipeline:
    """Create an instance-segmentation pipeline. The arguments include those of PaddleX.

    Arguments override the pipeline file.

    Args:
        pipeline: "instance_segmentation" (also when None), or the path of a pipeline file.
        model: an official model's name, "demo", a model directory or a bundle.
        model_dir: directory or bundle of the model; overrides `model`.
        config: content of a pipeline file, instead of `pipeline`.
        device: as in `create_predictor`; several indices, as in `gpu:0,1`, share the work.
        use_hpip: False runs the original graph on plain Paddle. None for the file's value, or else
            True (PaddleX's default is False).
        hpi_config: see `create_predictor`.
        batch_size: images per run.
        threshold: score threshold; None for the file's, or else the model's.
        max_detections: maximum number of instances per image, those with the highest scores.
        classes: classes to return, by label or id; None for all.
        threads: CPU threads; None for all that the process may use.
        precision: see `create_predictor`.
        workers: see `create_predictor`; all of them work on the images of a list or directory, and
            results come in input order.
        font_path: see `create_predictor`.
        engine: accepted for compatibility with PaddleX: None, "paddle" or "paddle_static".
        engine_config: not supported; use `hpi_config`.
        pp_option: not supported; use `hpi_config`.

    Raises:
        InvalidInputError: an argument or the pipeline file is not valid.
        ModelNotFoundError, ModelFormatError, BackendUnavailableError, BackendError: see
            `create_predictor`.
    """
    if pipeline is not None and config is not None:
        raise InvalidInputError("expected a pipeline or a config; received both")
    if engine not in (None, "paddle", "paddle_static") or engine_config or pp_option is not None:
        raise InvalidInputError(
            "engine, engine_config and pp_option: expected None, because hpip chooses the engine. "
            "To name one, use hpi_config={'backend': ..., 'backend_config': {...}}"
        )
    source = config if config is not None else pipeline or "instance_segmentation"
    settings = _override(load_pipeline_config(source), model, model_dir)
    chosen = device or settings.device
    devices = [str(one) for one in parse_devices(chosen)] if chosen else [None]
    predictors = [
        create_predictor(
            settings.model_name,
            model_dir=settings.model_dir,
            device=one,
            use_hpip=settings.use_hpip if use_hpip is None else use_hpip,
            hpi_config=settings.hpi_config if hpi_config is None else hpi_config,
            batch_size=settings.batch_size if batch_size is None else batch_size,
            threshold=settings.threshold if threshold is None else threshold,
            max_detections=max_detections,
            classes=classes,
            threads=threads,
            precision=precision,
            workers=workers,
            font_path=font_path,
        )
        for one in devices
    ]
    return InstanceSegPipeline(predictors)


def _override(
    settings: PipelineConfig, model: str | None, model_dir: str | Path | None
) -> PipelineConfig:
    if model_dir is not None:
        return replace(settings, model_name=model, model_dir=str(model_dir))
    if model is None:
        return settings
    if is_model_path(model):
        return replace(settings, model_name=None, model_dir=model)
    return replace(settings, model_name=model, model_dir=None)
