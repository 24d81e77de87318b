# SPDX-License-Identifier: Apache-2.0
"""Makes a plan's segments in int8 from pictures: each is shown what it really gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpip.backends.base import Feeds, Session, SessionOptions
from hpip.backends.registry import backend_named
from hpip.common.cache import Cache, content_key
from hpip.errors import BackendError, BackendUnavailableError, GraphRewriteError, ModelFormatError
from hpip.inference.execution.plan import Plan
from hpip.inference.execution.postprocess import Selection
from hpip.inference.execution.preprocess import network_inputs
from hpip.inference.execution.program_formats import artifact, int8_artifact
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.images import digest
from hpip.types import AnyArray, PreprocessPlan, Segment, UInt8Array

# What a low threshold lets through has its share in the ranges, too.
_LOWEST_SCORE = 0.05


@dataclass(frozen=True)
class Calibration:
    """What programs in int8 are made from.

    Attributes:
        pictures: (H, W, 3) BGR, at least one; others than those that answers are compared on.
        preprocess: from picture to input, at the size that is served.
    """

    pictures: Sequence[UInt8Array]
    preprocess: PreprocessPlan

    @property
    def key(self) -> str:
        """Names it; `Engine.calibration`."""
        return content_key(digest(self.pictures), repr(self.preprocess), f"{_LOWEST_SCORE}")


def calibrate(
    plan: Plan, engine: Engine, calibration: Calibration, *, cache: Cache | None = None
) -> dict[str, str]:
    """Make each segment's int8 program, where it is not in the cache yet.

    Segments in front of another run in fp32 on the same backend while its feeds are taken.

    Args:
        plan: what is to run.
        engine: what is to run it in int8.
        calibration: what its ranges follow.
        cache: where the programs are kept; None takes the user's.

    Returns:
        The segments that can't be had in int8, with the reason.

    Raises:
        BackendUnavailableError: the backend or its quantiser is not here.
        BackendError: no segment can be had in int8.
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
    """What the armed segment is fed for each picture; none for those without rows for it."""
    for picture in calibration.pictures:
        inputs = network_inputs([picture], calibration.preprocess, threads=threads)
        feeds = plan.feeds(inputs, Selection(_LOWEST_SCORE))
        try:
            session.run({name: feeds[name] for name in session.input_names})
        except _ReachedError as reached:
            yield reached.feeds


class _ReachedError(Exception):
    def __init__(self, feeds: Feeds) -> None:
        self.feeds = feeds
        super().__init__("a segment's feeds, for its calibration")


class _Stop(Session):
    """A session that, armed, hands out what it is fed in place of running."""

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
