# SPDX-License-Identifier: Apache-2.0
"""Quantizes the segments of a plan to int8, calibrated with the inputs that images give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpip.backends.base import Feeds, Session, SessionOptions
from hpip.backends.registry import backend_named
from hpip.common.cache import Cache, content_key
from hpip.errors import BackendError, BackendUnavailableError, GraphRewriteError, ModelFormatError
from hpip.inference.execution.feeds import session_feeds
from hpip.inference.execution.plan import Plan
from hpip.inference.execution.postprocess import InstanceFilter
from hpip.inference.execution.preprocess import network_inputs
from hpip.inference.execution.program_formats import artifact, int8_artifact
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.images import digest
from hpip.types import AnyArray, PreprocessPlan, Segment, UInt8Array

# Low, so that instances with low scores influence the ranges too.
_LOWEST_SCORE = 0.05


@dataclass(frozen=True)
class Calibration:
    """Data to calibrate int8 programs with.

    Attributes:
        images: at least one (H, W, 3) BGR image; none of the images for validation.
        preprocess: steps from an image to the network's input, at the size used for predictions.
    """

    images: Sequence[UInt8Array]
    preprocess: PreprocessPlan

    @property
    def key(self) -> str:
        """Cache key of the calibration, for `Engine.calibration`."""
        return content_key(digest(self.images), repr(self.preprocess), f"{_LOWEST_SCORE}")


def calibrate(
    plan: Plan, engine: Engine, calibration: Calibration, *, cache: Cache | None = None
) -> dict[str, str]:
    """Quantize each segment of a plan to int8, unless the cache has it already.

    To collect a segment's inputs, the segments before it run in fp32 on the same backend.

    Args:
        plan: the plan to run in int8.
        engine: the engine that will run it.
        calibration: images and preprocessing that determine the ranges.
        cache: where int8 programs are stored; None for the user's cache.

    Returns:
        The segments that can't be quantized, with the reasons.

    Raises:
        BackendUnavailableError: the backend or its quantizer is not available.
        BackendError: no segment can be quantized.
    """
    backend = backend_named(engine.backend)
    options = SessionOptions(engine.device, engine.threads, settings=engine.settings)
    stops: dict[str, _Stop] = {}

    def open_segment(segment: Segment) -> Session:
        files = artifact(segment.files, backend.format, cache=cache)
        stops[segment.name] = _Stop(backend.open(files, options))
        return stops[segment.name]

    refused: dict[str, str] = {}
    session = plan.open(open_segment, threads=engine.threads)
    try:
        segments = [step for step in plan.steps if isinstance(step, Segment)]
        for segment in segments:
            feeds = _feeds(plan, session, calibration, engine.threads)
            stops[segment.name].armed = True
            try:
                int8_artifact(
                    segment.files,
                    backend,
                    engine.device,
                    calibration.key,
                    feeds=feeds,
                    cache=cache,
                )
            except BackendUnavailableError:
                raise
            except (BackendError, GraphRewriteError, ModelFormatError) as error:
                refused[segment.name] = str(error)
            finally:
                stops[segment.name].armed = False
    finally:
        session.close()
    if len(refused) == len(segments):
        raise BackendError(engine.backend, "quantize", "; ".join(refused.values()))
    return refused


def _feeds(plan: Plan, session: Session, calibration: Calibration, threads: int) -> Iterator[Feeds]:
    """Inputs of the armed segment, for each image; images that give it no rows are skipped."""
    for image in calibration.images:
        inputs = network_inputs([image], calibration.preprocess, threads=threads)
        feeds = plan.feeds(inputs, InstanceFilter(_LOWEST_SCORE))
        try:
            session.run(session_feeds(session, feeds))
        except _ReachedError as reached:
            yield reached.feeds


class _ReachedError(Exception):
    def __init__(self, feeds: Feeds) -> None:
        self.feeds = feeds
        super().__init__("the run reached the armed segment")


class _Stop(Session):
    """A session that, once armed, raises its inputs instead of running."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.armed = False
        super().__init__(session.input_names, session.output_names)

    def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
        if self.armed:
            raise _ReachedError(dict(inputs))
        return self._session.run(inputs)

    def _close(self) -> None:
        self._session.close()
