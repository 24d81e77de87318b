# SPDX-License-Identifier: Apache-2.0
"""Does the cut program give the answers of the export? Asked once per model, in a child process.

A child, because the export may need gigabytes for the masks of one picture and Paddle does not give
them back; and because a program that crashes the engine must not take the user's process with it.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from hpip.common.cache import Cache, content_key
from hpip.common.devices import Device
from hpip.errors import HpipError
from hpip.graph.builder import integer
from hpip.graph.compile import CompiledModel, compile_model
from hpip.graph.program import Program
from hpip.inference.execution.plan import CutPlan, Plan, UntouchedPlan
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.budget import Clock, tell
from hpip.inference.tuning.child_process import Child, ChildError, ChildStartError
from hpip.inference.tuning.gates import GATES, Answer, judge
from hpip.inference.tuning.images import scene, shipped_pictures
from hpip.model.spec import ModelSpec
from hpip.types import ModelFiles, ResizeStep, Segment, UInt8Array

logger = logging.getLogger(__name__)

# Raise when another picture or another comparison is made.
_VERSION = "4"
# Networks of any input size are run at this one: the comparison is of the tail, not of accuracy.
_SMALL_TARGET_HW = (320, 544)
# Both programs at these: one that keeps nearly everything, and the usual one.
_THRESHOLDS = (0.05, 0.5)
_ENOUGH_INSTANCES = 3
# Two-stage models work on a thousand regions and a hundred boxes (Mask R-CNN on C4 features takes
# minutes for them). With fewer of both, in both programs, every step that the rewrite touches is
# still taken, an order of magnitude sooner.
_MOST_REGIONS = 100
_MOST_BOXES = 20
# Of one run of a box or mask head.
_MOST_ROWS = 7


@dataclass(frozen=True)
class Check:
    """Whether a cut program may be used.

    Attributes:
        same: it gave the export's answers.
        reason: the figures, or what differed.
        final: whether the comparison came to its end.
        allowed_s: the time that it was given.
        attempts: how often it was made.
    """

    same: bool
    reason: str
    final: bool = True
    allowed_s: float = 0.0
    attempts: int = 1


def cut_and_checked(
    spec: ModelSpec, *, threads: int, cache: Cache, clock: Clock, retry: bool = False
) -> tuple[CompiledModel, Check]:
    """The cut program and its check, from what is remembered or new.

    A check that did not come to its end is remembered too, so that not every later start waits for
    it again; with more time, or when told to `retry`, it is made anew.

    Args:
        spec: a model that something can be cut from.
        threads: CPU threads.
        cache: where all this is remembered.
        clock: what is left of the budget.
        retry: see above.
    """
    compiled = compile_model(spec.files, cache=cache)
    key = content_key("check", _VERSION, compiled.key, fingerprint(spec.files.params))
    attempts = 1
    if (loaded := cache.load(key)) is not None:
        try:
            known = Check(**{k: v for k, v in loaded[1].items() if k != "title"})
        except TypeError:
            known = Check(False, "the cache entry is of another version", final=False)
        if known.final or (clock.gives_up(known.allowed_s, known.attempts) and not retry):
            return compiled, known
        attempts = known.attempts + 1
        cache.discard(key)
    tell.get()(f"checking the cut program of {spec.model_name} against the export, once")
    found = replace(check(spec, compiled, threads, clock), attempts=attempts)
    logger.info("%s: %s", spec.model_name, found.reason)
    cache.store(key, {"title": f"{spec.model_dir.name}, check", **asdict(found)}, {})
    return compiled, found


def check(spec: ModelSpec, compiled: CompiledModel, threads: int, clock: Clock) -> Check:
    """Run the export and the cut program on one picture and compare."""
    allowed_s = clock.left_s
    try:
        with (
            _small(spec, compiled) as (small, cut),
            Child(clock.limits.memory_bytes) as child,
        ):
            wanted: list[Answer] = []
            found: list[Answer] = []
            for picture in _pictures():
                for plan, answers in ((UntouchedPlan(small), wanted), (cut, found)):
                    answers += _answers(child, plan, small, picture, threads, clock)
                verdict = judge(wanted, found, GATES["fp32"])
                if verdict.matched >= _ENOUGH_INSTANCES:
                    break
    except ChildStartError:
        raise
    except ChildError as failure:
        why = f"the time was up after {allowed_s:.3g} s" if clock.left_s <= 0 else str(failure)
        return Check(False, f"the check did not end: {why}", False, allowed_s)
    except (HpipError, OSError) as error:
        return Check(False, f"{type(error).__name__}: {error}", False, allowed_s)
    reason = f"same answers as the export: {verdict.reason}" if verdict.same else verdict.reason
    return Check(verdict.same, reason, True, allowed_s)


def _pictures() -> Iterator[UInt8Array]:
    """One is enough, unless the model finds little in it."""
    yield from shipped_pictures()
    for seed, image_hw in enumerate(((300, 400), (400, 200), (97, 33), (60, 80)), start=20):
        yield scene(*image_hw, seed)


def _answers(
    child: Child, plan: Plan, spec: ModelSpec, picture: UInt8Array, threads: int, clock: Clock
) -> list[Answer]:
    engine = Engine("paddle", Device("cpu"), threads)
    child.open(plan, spec.preprocess, engine, limit_s=clock.step_s())
    found = child.answer(picture, _THRESHOLDS, limit_s=clock.step_s())
    return [Answer(t, instances) for t, instances in zip(_THRESHOLDS, found, strict=True)]


@contextmanager
def _small(spec: ModelSpec, compiled: CompiledModel) -> Iterator[tuple[ModelSpec, CutPlan]]:
    """The model and its cut program with less to do, alike in both."""
    small = small_input(spec)
    with tempfile.TemporaryDirectory(prefix="hpip-") as folder:
        program = _with_fewer_regions(spec.files, Path(folder) / spec.files.program.name)
        if program is not None:
            files = ModelFiles(program, spec.files.params)
            small = replace(small, files=files)
            compiled = compile_model(files, cache=Cache(Path(folder) / "cache"))
        # Boxes in small groups: where one box depends on another, the answers then differ.
        steps = tuple(
            replace(step, max_rows=_MOST_ROWS) if isinstance(step, Segment) else step
            for step in compiled.plan
        )
        yield small, CutPlan(replace(compiled, plan=steps))


def small_input(spec: ModelSpec) -> ModelSpec:
    """The model with a smaller input, where the export takes any size."""
    if spec.network_hw is not None:
        return spec
    steps = tuple(
        replace(step, target_hw=_SMALL_TARGET_HW) if isinstance(step, ResizeStep) else step
        for step in spec.preprocess.steps
    )
    return replace(spec, preprocess=replace(spec.preprocess, steps=steps))


def _with_fewer_regions(files: ModelFiles, target: Path) -> Path | None:
    """A copy of a two-stage program that works on fewer regions; None where it is of one stage.

    None for a program of Paddle 2 too: those of two stages are not cut.
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


def fingerprint(path: Path) -> bytes:
    """Size and samples of a parameter file: enough to tell two trainings of a model apart."""
    size = path.stat().st_size
    parts = [str(size).encode()]
    with path.open("rb") as stream:
        for offset in np.linspace(0, max(0, size - 4096), 64).astype(int):
            stream.seek(int(offset))
            parts.append(stream.read(4096))
    return b"".join(parts)
