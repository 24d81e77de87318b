# SPDX-License-Identifier: Apache-2.0
"""Does the cut program give the answers of the export? Asked once per model, in a child process.

A child, because the export may need gigabytes for the masks of one picture and Paddle does not give
them back; and because a program that crashes the engine must not take the user's process with it.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpip.backends.base import SessionOptions
from hpip.backends.paddle import PaddleBackend
from hpip.devices import Device
from hpip.errors import HpipError, InvalidInputError
from hpip.graph.cache import Cache, content_key
from hpip.graph.compile import CompiledModel, compile_model
from hpip.model import ModelSpec, load_model_spec
from hpip.plans import CutPlan, Plan, UntouchedPlan
from hpip.postprocess import Instances, Selection
from hpip.preprocess import network_inputs
from hpip.sameness import compare
from hpip.types import AnyArray, ResizeStep, RleMask, UInt8Array

logger = logging.getLogger(__name__)

# Raise when another picture or another comparison is made.
_VERSION = "1"
_IMAGE_HW = (300, 400)
# Networks of any input size are run at this one: the comparison is of the tail, not of accuracy.
_SMALL_TARGET_HW = (320, 544)
# Both programs at these: one that keeps nearly everything, and the usual one.
_THRESHOLDS = (0.05, 0.5)
# HPIP_TUNE_BUDGET_S bounds everything that happens once per model; the slowest official model
# needs about three minutes on two idle cores.
BUDGET_VARIABLE = "HPIP_TUNE_BUDGET_S"
_DEFAULT_BUDGET_S = 600.0


@dataclass(frozen=True)
class Verdict:
    """Whether a cut program may be used.

    Attributes:
        same: it gave the export's answers.
        reason: the figures, or what differed.
        final: whether the comparison came to its end; else `hpip compile` makes it again.
    """

    same: bool
    reason: str
    final: bool = True


def verdict(
    spec: ModelSpec,
    compiled: CompiledModel,
    *,
    threads: int,
    cache: Cache,
    retry_unfinished: bool = False,
) -> Verdict:
    """The remembered verdict, or a new one from a child process.

    A check that did not come to its end is remembered too, so that no later start waits for it
    again; `retry_unfinished` makes it again.
    """
    key = content_key("verdict", _VERSION, compiled.key, _fingerprint(spec.files.params))
    loaded = cache.load(key)
    if loaded is not None:
        record = loaded[1]
        known = Verdict(bool(record["same"]), str(record["reason"]), bool(record["final"]))
        if known.final or not retry_unfinished:
            return known
        cache.discard(key)
    logger.info(
        "checking the cut program of %s against the export, once; this may take a minute",
        spec.model_name,
    )
    found = _ask_child(spec, cache, threads)
    if not found.final:
        found = replace(
            found, reason=f"{found.reason}; `hpip compile {spec.model_dir}` tries again"
        )
    logger.info("%s: %s", spec.model_name, found.reason)
    cache.store(key, {"title": f"{spec.model_dir.name}, verdict", **asdict(found)}, {})
    return found


def _budget_s() -> float:
    text = os.environ.get(BUDGET_VARIABLE, "")
    try:
        return float(text) if text else _DEFAULT_BUDGET_S
    except ValueError as error:
        raise InvalidInputError(
            f"{BUDGET_VARIABLE}: expected a number of seconds, received {text!r}"
        ) from error


def _ask_child(spec: ModelSpec, cache: Cache, threads: int) -> Verdict:
    request = {
        "model_dir": str(spec.model_dir.resolve()),
        "cache": str(cache.base.resolve()),
        "threads": threads,
    }
    command = [sys.executable, "-m", "hpip.verify", json.dumps(request)]
    budget_s = _budget_s()
    try:
        # Where this package lies: -m looks there first, and not in a source tree of the same name
        # that the user happens to stand in.
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=budget_s,
            check=False,
            cwd=Path(__file__).resolve().parents[1],
        )
    except subprocess.TimeoutExpired:
        return Verdict(False, f"the check took longer than {budget_s:g} s", final=False)
    except OSError as error:
        return Verdict(False, f"the check could not be started: {error}", final=False)
    try:
        answer = json.loads(done.stdout.strip().splitlines()[-1])
        return Verdict(bool(answer["same"]), str(answer["reason"]), bool(answer["final"]))
    except (IndexError, ValueError, KeyError, TypeError):
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        reason = f"the check ended with exit code {done.returncode}: {last}"
        return Verdict(False, reason, final=False)


def check(spec: ModelSpec, cut: CutPlan, threads: int) -> Verdict:
    """Run the export and the cut program on one picture and compare."""
    spec = _small(spec)
    image = scene(*_IMAGE_HW)
    wanted = _answers(UntouchedPlan(spec), spec, image, threads)
    found = _answers(cut, spec, image, threads)
    matched, least_iou = 0, 1.0
    for threshold, reference, candidate in zip(_THRESHOLDS, wanted, found, strict=True):
        comparison = compare(_Answer(reference), _Answer(candidate), threshold)
        if violations := comparison.violations():
            return Verdict(False, f"at threshold {threshold:g}: {'; '.join(violations)}")
        matched += comparison.matched
        least_iou = min(least_iou, comparison.min_mask_iou)
    return Verdict(True, f"same answers as the export: {matched} instances, IoU >= {least_iou:.4f}")


def _answers(plan: Plan, spec: ModelSpec, image: UInt8Array, threads: int) -> list[Instances]:
    inputs = network_inputs([image], spec.preprocess, threads=threads)
    backend, options = PaddleBackend(), SessionOptions(Device("cpu"), threads)
    session = plan.open(lambda segment: backend.open(segment.files, options), threads=threads)
    sizes = [(image.shape[0], image.shape[1])]
    answers: list[Instances] = []
    outputs: list[AnyArray] = []
    for threshold in _THRESHOLDS:
        selection = Selection(threshold)
        feeds = plan.feeds(inputs, selection)
        if not outputs or set(session.input_names) - set(inputs):
            # A program that is not fed the threshold gives the same for all of them.
            outputs = session.run({name: feeds[name] for name in session.input_names})
        answers += plan.collect(outputs, inputs, sizes, selection, threads=threads)
    session.close()
    return answers


class _Answer:
    """Instances under the names that the comparison reads."""

    def __init__(self, found: Instances) -> None:
        self.boxes_xyxy = found.boxes_xyxy
        self.scores = found.scores
        self.class_ids = found.class_ids
        self.rle: Sequence[RleMask | None] = found.masks


def _small(spec: ModelSpec) -> ModelSpec:
    """The model with a smaller input, where the export takes any size."""
    if spec.network_hw is not None:
        return spec
    steps = tuple(
        replace(step, target_hw=_SMALL_TARGET_HW) if isinstance(step, ResizeStep) else step
        for step in spec.preprocess.steps
    )
    return replace(spec, preprocess=replace(spec.preprocess, steps=steps))


def scene(height: int, width: int, seed: int = 20) -> UInt8Array:
    """A made-up picture with edges, shading and texture at many scales, always the same."""
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    picture = np.stack([xs / width, ys / height, 1 - xs / width], -1) * 160 + 40
    for _ in range(40):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        ry, rx = rng.uniform(0.03, 0.25, 2) * (height, width)
        distance = ((ys - cy) / ry) ** 2 + ((xs - cx) / rx) ** 2
        inside = distance < 1 if rng.random() < 0.5 else (abs(ys - cy) < ry) & (abs(xs - cx) < rx)
        shade = (1.2 - 0.4 * distance.clip(0, 1))[..., None]
        picture = np.where(inside[..., None], rng.uniform(0, 255, 3) * shade, picture)
    picture += rng.normal(0, 6, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)


def _fingerprint(path: Path) -> bytes:
    """Size and samples of a parameter file: enough to tell two trainings of a model apart."""
    size = path.stat().st_size
    parts = [str(size).encode()]
    with path.open("rb") as stream:
        for offset in np.linspace(0, max(0, size - 4096), 64).astype(int):
            stream.seek(int(offset))
            parts.append(stream.read(4096))
    return b"".join(parts)


def main(arguments: Sequence[str]) -> None:
    """Entry of the child process: a request as JSON in, a verdict as JSON out."""
    request: dict[str, Any] = json.loads(arguments[0])
    try:
        spec = load_model_spec(request["model_dir"])
        compiled = compile_model(spec.files, cache=Cache(Path(request["cache"])))
        found = check(spec, CutPlan(compiled), request["threads"])
    except HpipError as error:
        found = Verdict(False, f"{type(error).__name__}: {error}", final=False)
    sys.stdout.write("\n" + json.dumps(asdict(found)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
