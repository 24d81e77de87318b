# SPDX-License-Identifier: Apache-2.0
"""The worker process: a pipeline, fed with pictures by the front process.

Pictures are decoded by two threads, segmented by two more (the network takes one at a time, so that
one's preprocessing overlaps the other's network) and rendered by two.
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
    Answer,
    Cancel,
    Channel,
    LoadFailed,
    LoadOrder,
    Picture,
    Progress,
    Ready,
)

logger = logging.getLogger(__name__)

_SEGMENTERS = 2
_INTERNAL_ERROR = "Internal server error"


@dataclass
class _Work:
    """A picture on its way through the worker."""

    picture: Picture
    source: Source
    selection: InstanceFilter
    decoded_at: float
    stages_ms: dict[str, float] = field(default_factory=dict)


class Worker:
    """Loads the pipeline, then answers every picture that it accepts exactly once."""

    def __init__(self, channel: Channel, order: LoadOrder) -> None:
        self._channel = channel
        self._order = order
        self._decoders = ThreadPoolExecutor(2, thread_name_prefix="decode")
        self._renderers = ThreadPoolExecutor(2, thread_name_prefix="render")
        # Pictures that somebody waits for; a cancelled one is taken out.
        self._wanted: set[int] = set()

    def load(self) -> None:
        """Load the model, tell the front process, and start to segment."""
        try:
            self._channel.send(Progress("loading"))
            tell.set(_TuningProgress(self._channel))
            pipeline = create_pipeline(**self._order.pipeline)
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
        wanted = self._order.max_batch_size or self._predictor.batch_size
        batch_size = wanted if limit is None else min(limit, wanted)
        self._ready: Batcher[_Work] = Batcher(batch_size, self._order.batch_timeout_ms / 1e3)
        for _ in range(_SEGMENTERS):
            threading.Thread(target=self._segment_forever, daemon=True).start()
        # A batch in each segmenter and one picture that is being decoded.
        capacity = _SEGMENTERS * batch_size + 1
        self._channel.send(Ready(capacity, _describe(pipeline, batch_size)))

    def accept(self, picture: Picture) -> None:
        """Take a picture into work."""
        self._wanted.add(picture.id)
        self._decoders.submit(self._decode, picture)

    def cancel(self, picture_id: int) -> None:
        """Drop a picture at its next stage, unless it has been answered."""
        self._wanted.discard(picture_id)

    def _answer(self, answer: Answer) -> None:
        self._wanted.discard(answer.id)
        self._channel.send(answer)

    def _is_dropped(self, picture: Picture) -> bool:
        if picture.id in self._wanted:
            return False
        self._channel.send(Answer(picture.id, 499, message="cancelled"))
        return True

    def _fail(self, picture: Picture, error: Exception) -> None:
        if isinstance(error, InvalidInputError):
            self._answer(Answer(picture.id, 422, message=str(error)))
            return
        # Engines' messages hold paths and stack traces: they are for the log.
        logger.error("a picture failed", exc_info=error)
        self._answer(Answer(picture.id, 500, message=_INTERNAL_ERROR))

    def _decode(self, picture: Picture) -> None:
        if self._is_dropped(picture):
            return
        start = perf_counter()
        try:
            image = decode_image(
                picture.data, picture.name, max_pixels=self._order.max_pixels, sized_only=True
            )
            selection = self._predictor.select(
                picture.options.threshold, self._order.max_detections
            )
            network_hw = self._predictor.spec.preprocess.network_hw(image.shape[:2])
        except Exception as error:
            self._fail(picture, error)
            return
        now = perf_counter()
        source = Source(image, None, None, picture.name)
        stages_ms = {"decode": (now - start) * 1e3}
        self._ready.put((network_hw, selection), _Work(picture, source, selection, now, stages_ms))

    def _segment_forever(self) -> None:
        while True:
            taken = self._ready.take()
            batch = [work for work in taken if not self._is_dropped(work.picture)]
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
                    if work.picture.options.visualize:
                        self._renderers.submit(self._render, work, outcome, len(batch))
                    else:
                        # Instances alone take less than waking another thread for them.
                        self._render(work, outcome, len(batch))
                else:
                    self._fail(work.picture, outcome)
        except Exception as error:
            for work in waiting.values():
                self._fail(work.picture, error)

    def _render(self, work: _Work, result: InstanceSegResult, batch_size: int) -> None:
        options = work.picture.options
        try:
            start = perf_counter()
            jpeg = draw_jpeg(result) if options.visualize else None
            drawn = perf_counter()
            instances = render_instances(result, options.mask_format)
            body = encode_result(instances, jpeg, options.encoding)
        except Exception as error:
            self._fail(work.picture, error)
            return
        if options.visualize:
            work.stages_ms["draw"] = (drawn - start) * 1e3
        work.stages_ms["encode"] = (perf_counter() - drawn) * 1e3
        self._answer(
            Answer(
                work.picture.id,
                200,
                body,
                stages_ms=work.stages_ms,
                batch_size=batch_size,
            )
        )


class _TuningProgress:
    """Passes on what tuning does; how much of it is done goes by its budget of time."""

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
    # A terminal and systemd signal the whole group; the front process decides when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    log_in_background("hpip")
    channel = Channel(socket.socket(fileno=descriptor))
    order = channel.receive()
    if order is None:
        return
    worker = Worker(channel, order)
    # In a thread of its own, so that the end of the front process is noticed while a model loads.
    threading.Thread(target=worker.load, daemon=True).start()
    while (record := channel.receive()) is not None:
        if isinstance(record, Picture):
            worker.accept(record)
        elif isinstance(record, Cancel):
            worker.cancel(record.id)
    # Engines' own clean-up at exit has been seen to hang and to crash; nothing is left to lose.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
