# SPDX-License-Identifier: Apache-2.0
"""The worker process: runs a pipeline on images from the front process.

Two threads decode, two segment and two encode. The network takes one caller at a time, so that the
preprocessing of one segmenting thread overlaps with the inference of the other.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic, perf_counter

from hpip.errors import HpipError, InvalidInputError
from hpip.inference.execution.postprocess import InstanceFilter
from hpip.inference.pipeline import InstanceSegPipeline, create_pipeline
from hpip.inference.predictor import Predictor
from hpip.inference.tuning.budget import default_limits, tell
from hpip.inputs.decode import decode_image
from hpip.inputs.sources import Source
from hpip.results.result import InstanceSegResult
from hpip.serving.batcher import Batcher
from hpip.serving.log_lines import log_in_background
from hpip.serving.rendering import draw_jpeg, encode_result, render_instances
from hpip.serving.wire import (
    Cancel,
    Channel,
    ImageRequest,
    ImageResponse,
    LoadFailed,
    Progress,
    Ready,
    WorkerConfig,
)

logger = logging.getLogger(__name__)

_SEGMENTERS = 2
_INTERNAL_ERROR = "Internal server error"


@dataclass
class _Work:
    """An image in the worker."""

    request: ImageRequest
    source: Source
    selection: InstanceFilter
    decoded_at: float
    stages_ms: dict[str, float] = field(default_factory=dict)


class Worker:
    """Loads the pipeline, then sends exactly one response for every accepted image."""

    def __init__(self, channel: Channel, config: WorkerConfig) -> None:
        self._channel = channel
        self._config = config
        self._decoders = ThreadPoolExecutor(2, thread_name_prefix="decode")
        self._renderers = ThreadPoolExecutor(2, thread_name_prefix="render")
        # Ids of the images that are in progress and not cancelled.
        self._wanted: set[int] = set()

    def load(self) -> None:
        """Load the model, report the outcome to the front process, and start to segment."""
        try:
            self._channel.send(Progress("loading"))
            tell.set(_TuningProgress(self._channel))
            pipeline = create_pipeline(**self._config.pipeline)
            self._channel.send(Progress("warming up"))
            pipeline.warm_up()
        except HpipError as error:
            self._channel.send(LoadFailed(str(error)))
            return
        except Exception as error:
            logger.exception("the model could not be loaded")
            self._channel.send(LoadFailed(f"{type(error).__name__}: {error}"))
            return
        self._predictor = pipeline.predictors[0]
        limit = self._predictor.max_batch_size
        wanted = self._config.max_batch_size or self._predictor.batch_size
        batch_size = wanted if limit is None else min(limit, wanted)
        self._ready: Batcher[_Work] = Batcher(batch_size, self._config.batch_timeout_ms / 1e3)
        for _ in range(_SEGMENTERS):
            threading.Thread(target=self._segment_forever, daemon=True).start()
        # A batch in each segmenter, and one image in a decoder.
        capacity = _SEGMENTERS * batch_size + 1
        self._channel.send(Ready(capacity, _describe(pipeline, batch_size)))

    def accept(self, request: ImageRequest) -> None:
        """Start to process an image."""
        self._wanted.add(request.id)
        self._decoders.submit(self._decode, request)

    def cancel(self, request_id: int) -> None:
        """Cancel an image before its next stage."""
        self._wanted.discard(request_id)

    def _respond(self, response: ImageResponse) -> None:
        self._wanted.discard(response.id)
        self._channel.send(response)

    def _is_cancelled(self, request: ImageRequest) -> bool:
        if request.id in self._wanted:
            return False
        self._channel.send(ImageResponse(request.id, 499, message="cancelled"))
        return True

    def _fail(self, request: ImageRequest, error: Exception) -> None:
        if isinstance(error, InvalidInputError):
            self._respond(ImageResponse(request.id, 422, message=str(error)))
            return
        # Engines' messages contain paths and stack traces, which only the log may show.
        logger.error("an image failed; the client gets status 500", exc_info=error)
        self._respond(ImageResponse(request.id, 500, message=_INTERNAL_ERROR))

    def _decode(self, request: ImageRequest) -> None:
        if self._is_cancelled(request):
            return
        start = perf_counter()
        try:
            image = decode_image(
                request.data, request.name, max_pixels=self._config.max_pixels, sized_only=True
            )
            selection = self._predictor.select(
                request.options.threshold, self._config.max_detections
            )
            network_hw = self._predictor.spec.preprocess.network_hw(image.shape[:2])
        except Exception as error:
            self._fail(request, error)
            return
        now = perf_counter()
        source = Source(image, None, None, request.name)
        stages_ms = {"decode": (now - start) * 1e3}
        self._ready.put((network_hw, selection), _Work(request, source, selection, now, stages_ms))

    def _segment_forever(self) -> None:
        while True:
            taken = self._ready.take()
            batch = [work for work in taken if not self._is_cancelled(work.request)]
            if batch:
                self._segment(batch)

    def _segment(self, batch: list[_Work]) -> None:
        start = perf_counter()
        for work in batch:
            work.stages_ms["batch_wait"] = (start - work.decoded_at) * 1e3
        waiting = {id(work.source): work for work in batch}
        try:
            outcomes = self._predictor.segment([work.source for work in batch], batch[0].selection)
            for source, outcome in outcomes:
                work = waiting.pop(id(source))
                if isinstance(outcome, InstanceSegResult):
                    work.stages_ms.update(_network_stages(outcome))
                    if work.request.options.visualize:
                        self._renderers.submit(self._render, work, outcome, len(batch))
                    else:
                        # Without an annotated image, this is faster than waking another thread.
                        self._render(work, outcome, len(batch))
                else:
                    self._fail(work.request, outcome)
        except Exception as error:
            for work in waiting.values():
                self._fail(work.request, error)

    def _render(self, work: _Work, result: InstanceSegResult, batch_size: int) -> None:
        options = work.request.options
        try:
            start = perf_counter()
            jpeg = draw_jpeg(result) if options.visualize else None
            drawn = perf_counter()
            instances = render_instances(result, options.mask_format)
            body = encode_result(instances, jpeg, options.encoding)
        except Exception as error:
            self._fail(work.request, error)
            return
        if options.visualize:
            work.stages_ms["draw"] = (drawn - start) * 1e3
        work.stages_ms["encode"] = (perf_counter() - drawn) * 1e3
        self._respond(
            ImageResponse(
                work.request.id,
                200,
                body,
                stages_ms=work.stages_ms,
                batch_size=batch_size,
            )
        )


class _TuningProgress:
    """Reports the progress of tuning, as the elapsed share of its time budget."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._start = monotonic()

    def __call__(self, text: str) -> None:
        logger.info("%s", text)
        budget_s = default_limits().budget_s
        done_s = monotonic() - self._start
        share = round(min(0.99, done_s / budget_s), 2) if budget_s else None
        self._channel.send(Progress("tuning", share, text))


def _network_stages(result: InstanceSegResult) -> dict[str, float]:
    times = result.stage_times
    return {
        "preprocess": times.preprocess_ms,
        "network_wait": times.wait_ms,
        "infer": times.infer_ms,
        "postprocess": times.postprocess_ms,
    }


def _describe(pipeline: InstanceSegPipeline, batch_size: int) -> dict[str, str]:
    predictor: Predictor = pipeline.predictors[0]
    engine = predictor.engine
    return {
        "model": predictor.spec.model_name,
        "backend": engine.backend,
        "precision": engine.precision,
        "device": str(engine.device),
        "threads": str(engine.threads),
        "max_batch_size": str(batch_size),
    }


def main(descriptor: int) -> None:
    """Run a worker on an inherited socket until the front process closes it."""
    # A terminal and systemd signal the whole group; the front process stops the workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    log_in_background("hpip")
    channel = Channel(socket.socket(fileno=descriptor))
    config = channel.receive()
    if config is None:
        return
    worker = Worker(channel, config)
    # In a thread, so that the worker notices an exit of the front process while the model loads.
    threading.Thread(target=worker.load, daemon=True).start()
    while (record := channel.receive()) is not None:
        if isinstance(record, ImageRequest):
            worker.accept(record)
        elif isinstance(record, Cancel):
            worker.cancel(record.id)
    # Without the engines' clean-up at exit, which has been seen to hang and to crash.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
