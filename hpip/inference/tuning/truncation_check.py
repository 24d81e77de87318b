# SPDX-License-Identifier: Apache-2.0
"""Validates a truncated graph against the original graph, once per model.

This runs in a child process, because the original graph may need gigabytes for the masks of one
image, which Paddle does not free, and because a crash of the engine must not end the user's
process.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hpip.common.cache import Cache, content_key
from hpip.common.devices import Device
from hpip.common.digest import file_digest
from hpip.errors import HpipError
from hpip.graph.builder import integer
from hpip.graph.compile import CompiledModel, compile_model
from hpip.graph.program import Program
from hpip.inference.execution.plan import OriginalPlan, Plan, TruncatedPlan
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.budget import Clock, tell
from hpip.inference.tuning.child_process import Child, ChildError, ChildStartError
from hpip.inference.tuning.gates import GATES, Prediction, judge
from hpip.inference.tuning.images import scene, shipped_images
from hpip.inference.tuning.records import due_at
from hpip.model.spec import ModelSpec
from hpip.types import ModelFiles, Segment, UInt8Array

logger = logging.getLogger(__name__)

# Increment when the images or the comparison change.
_VERSION = "5"
# Models with a variable input size run at this one, because the check compares the mask head only.
SMALL_TARGET_HW = (320, 544)
# Score thresholds for both graphs: one that nearly all instances pass, and a typical one.
_THRESHOLDS = (0.05, 0.5)
_ENOUGH_INSTANCES = 3
# Two-stage models process a thousand regions and a hundred boxes, which takes Mask R-CNN on C4
# features minutes. Fewer of both, in both graphs, exercise the same operators ten times faster.
_MOST_REGIONS = 100
_MOST_BOXES = 20
# Boxes per run of a box or mask head.
_MOST_ROWS = 7


@dataclass(frozen=True)
class TruncationCheck:
    """The result of validating a truncated graph.

    Attributes:
        same: True if its results match the original graph's.
        reason: the measured differences, or the first violation.
        final: True if the check finished.
        allowed_s: time limit of the check.
        ended_at: end of the check, in seconds since 1970.
    """

    same: bool
    reason: str
    final: bool = True
    allowed_s: float = 0.0
    ended_at: float = 0.0

    def due_at(self, budget_s: float) -> float:
        """When to repeat a check that did not finish; see `records.due_at`."""
        return due_at(True, self.allowed_s, budget_s, self.ended_at)


def compile_and_validate(
    spec: ModelSpec, *, threads: int, cache: Cache, clock: Clock, retry: bool = False
) -> tuple[CompiledModel, TruncationCheck]:
    """Return the truncated graph and its check, from the cache if possible.

    A check that did not finish is cached too, so that the next starts do not wait for it again. It
    is repeated with a larger budget, after an hour, or if `retry` is set.

    Args:
        spec: a model whose graph can be truncated.
        threads: CPU threads.
        cache: where graphs and checks are stored.
        clock: the remaining tuning time.
        retry: True repeats a check that did not finish.
    """
    compiled = compile_model(spec.files, cache=cache)
    weights = file_digest(spec.files.params, cache=cache)
    key = content_key("check", _VERSION, compiled.key, weights, repr(spec.preprocess))
    if (loaded := cache.load(key)) is not None:
        try:
            known = TruncationCheck(**{k: v for k, v in loaded[1].items() if k != "title"})
        except TypeError:
            known = TruncationCheck(
                False, "another version of hpip wrote the cache entry", final=False
            )
        due = retry or time.time() >= known.due_at(clock.limits.budget_s)
        if known.final or not due:
            return compiled, known
        cache.discard(key)
    tell.get()(f"validating the truncated graph of {spec.model_name} (once)")
    found = replace(check(spec, compiled, threads, clock), ended_at=time.time())
    logger.info("%s: %s", spec.model_name, found.reason)
    # Weights that were replaced during the check are not those that it is stored for.
    if file_digest(spec.files.params, cache=cache) == weights:
        cache.store(key, {"title": f"{spec.model_dir.name}, check", **asdict(found)}, {})
    return compiled, found


def check(spec: ModelSpec, compiled: CompiledModel, threads: int, clock: Clock) -> TruncationCheck:
    """Run the original and the truncated graph on the same images, and compare the results."""
    allowed_s = clock.left_s
    try:
        with (
            _small(spec, compiled) as (small, truncated),
            Child(clock.limits.memory_bytes) as child,
        ):
            expected: list[Prediction] = []
            received: list[Prediction] = []
            for image in _images():
                expected += _predict(child, OriginalPlan(small), small, image, threads, clock)
                received += _predict(child, truncated, small, image, threads, clock)
                verdict = judge(expected, received, GATES["fp32"])
                if verdict.matched >= _ENOUGH_INSTANCES:
                    break
    except ChildStartError:
        raise
    except ChildError as failure:
        why = (
            f"the tuning time ran out after {allowed_s:.3g} s"
            if clock.left_s <= 0
            else str(failure)
        )
        return TruncationCheck(False, f"the check did not finish: {why}", False, allowed_s)
    except (HpipError, OSError) as error:
        return TruncationCheck(False, f"{type(error).__name__}: {error}", False, allowed_s)
    outcome = "same results as the original graph" if verdict.same else "the results differ"
    reason = f"{outcome}: {verdict.reason}"
    return TruncationCheck(verdict.same, reason, True, allowed_s)


def _images() -> Iterator[UInt8Array]:
    """Images for the check; the first is enough unless the model finds few instances in it."""
    yield from shipped_images()
    for seed, image_hw in enumerate(((300, 400), (400, 200), (97, 33), (60, 80)), start=20):
        yield scene(*image_hw, seed)


def _predict(
    child: Child, plan: Plan, spec: ModelSpec, image: UInt8Array, threads: int, clock: Clock
) -> list[Prediction]:
    engine = Engine("paddle", Device("cpu"), threads)
    child.open(plan, spec.preprocess, engine, limit_s=clock.step_s())
    found = child.predict(image, _THRESHOLDS, limit_s=clock.step_s())
    return [Prediction(t, instances) for t, instances in zip(_THRESHOLDS, found, strict=True)]


@contextmanager
def _small(spec: ModelSpec, compiled: CompiledModel) -> Iterator[tuple[ModelSpec, TruncatedPlan]]:
    """The model and its truncated graph, both with less work to do."""
    small = small_input(spec)
    with tempfile.TemporaryDirectory(prefix="hpip-") as folder:
        program = _with_fewer_regions(spec.files, Path(folder) / spec.files.program.name)
        if program is not None:
            files = ModelFiles(program, spec.files.params)
            small = replace(small, files=files)
            compiled = compile_model(files, cache=Cache(Path(folder) / "cache"))
        # Small groups of boxes: if one box depended on another, the results would differ.
        steps = tuple(
            replace(step, max_rows=_MOST_ROWS) if isinstance(step, Segment) else step
            for step in compiled.plan
        )
        yield small, TruncatedPlan(replace(compiled, plan=steps))


def small_input(spec: ModelSpec) -> ModelSpec:
    """The model with a smaller input, if its graph accepts any size."""
    return spec if spec.network_hw is not None else spec.resized(SMALL_TARGET_HW)


def _with_fewer_regions(files: ModelFiles, target: Path) -> Path | None:
    """Write a copy of a two-stage program with fewer regions; None for other programs.

    None for programs of Paddle 2 too, because hpip does not truncate those with two stages.
    """
    if files.program.suffix != ".json":
        return None
    program = Program.read(files.program)
    operations = list(program.walk())
    if not any(op.name == "pd_op.generate_proposals" for op in operations):
        return None
    limits = (("post_nms_top_n", _MOST_REGIONS), ("keep_top_k", _MOST_BOXES))
    for op in operations:
        for name, most in limits:
            if op.has_attribute(name) and op.attribute(name) > most:
                op.set_attribute(name, integer(most))
    target.write_text(json.dumps(program.to_json(), separators=(",", ":"), ensure_ascii=False))
    return target
