# SPDX-License-Identifier: Apache-2.0
"""Checks hpip's assumptions about exported models, and reports differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields

from benchmarks.official.published import OFFICIAL, Family
from hpip.common.cache import Cache
from hpip.graph.compile import compile_model
from hpip.graph.interface import ProgramTensor
from hpip.graph.operation import Operation
from hpip.graph.program import Program
from hpip.graph.translate import translate
from hpip.model.spec import ModelOutputs, ModelSpec
from hpip.types import PreprocessPlan

_NORMS = ("pd_op.batch_norm", "pd_op.batch_norm_")
_NORM_FLAGS = ("use_global_stats", "trainable_statistics", "is_test")
_INPUTS = "image: float32[-1, 3, {side}], im_shape: float32[-1, 2], scale_factor: float32[-1, 2]"
_OUTPUTS = {
    "boxes": "boxes: float32[-1, 6], counts: int32[-1], masks: {masks}[-1, -1, -1]",
    "classes": "count: int64[], class_ids: int64[-1], scores: float32[-1], "
    "masks: {masks}[-1, -1, -1]",
}
_LABELS = "80 labels, person to toothbrush"


@dataclass(frozen=True)
class Check:
    """One property of an exported model.

    Attributes:
        what: the property.
        as_assumed: whether the assumption holds.
        expected: the assumed value.
        found: the model's value.
    """

    what: str
    as_assumed: bool
    expected: str
    found: str


def check_model(spec: ModelSpec, name: str | None) -> list[Check]:
    """Check hpip's assumptions about the official model of this name.

    Args:
        spec: the model directory.
        name: the official name; None skips the checks that depend on the family.

    Raises:
        ModelFormatError: the program can't be read.
    """
    official = OFFICIAL.get(name or "")
    found = list(_family(spec, official.family)) if official else []
    if name:
        found.insert(0, _same("Global.model_name", name, spec.model_name))
    return [*found, *_norms(spec), _rewritten(spec)]


def _family(spec: ModelSpec, family: Family) -> Iterator[Check]:
    yield _same("program file", "inference.json", spec.files.program.name)
    side = "{}, {}".format(*(family.network_hw or (-1, -1)))
    inputs = ", ".join(_typed(tensor.name, tensor) for tensor in _by_name(spec.inputs))
    yield _same("inputs", _INPUTS.format(side=side), inputs)
    outputs = _OUTPUTS[family.layout].format(masks=family.masks)
    yield _same("outputs", outputs, _by_role(spec.outputs))
    yield _same("preprocessing", _steps(family.preprocess), _steps(spec.preprocess))
    labels = spec.labels
    yield _same("labels", _LABELS, f"{len(labels)} labels, {labels[0]} to {labels[-1]}")
    yield _same("draw_threshold", "0.5", f"{spec.score_threshold:g}")


def _norms(spec: ModelSpec) -> Iterator[Check]:
    """Check that every batch norm uses running statistics."""
    files = spec.files
    if files.program.suffix != ".json":
        files = translate(files, Cache())
    norms = [op for op in Program.read(files.program).walk() if op.name in _NORMS]
    flags = Counter(_flags(op) for op in norms if not _uses_running_statistics(op))
    differing = "; ".join(f"{count} with {flag}" for flag, count in flags.most_common())
    found = f"{len(norms)} batch norms"
    if norms:
        found += f", of which use batch statistics: {differing or 'none'}"
    # Folded batch norms would be correct, but no official model is known to have them.
    as_assumed = bool(norms) and not flags
    yield Check("norms", as_assumed, "batch norms, all with running statistics", found)


def _uses_running_statistics(op: Operation) -> bool:
    if op.attribute("use_global_stats"):
        return True
    return bool(op.attribute("is_test")) and not op.attribute("trainable_statistics")


def _flags(op: Operation) -> str:
    return ", ".join(f"{name} {str(op.attribute(name)).lower()}" for name in _NORM_FLAGS)


def _rewritten(spec: ModelSpec) -> Check:
    """Check that the graph compiler can truncate the graph."""
    compiled = compile_model(spec.files)
    expected = "the full-image resize of the masks can be removed"
    return Check("graph", compiled.masks is not None, expected, compiled.reason)


def _same(what: str, expected: str, found: str) -> Check:
    return Check(what, expected == found, expected, found)


def _by_name(tensors: tuple[ProgramTensor, ...]) -> list[ProgramTensor]:
    """In alphabetical order, with the image first."""
    return sorted(tensors, key=lambda tensor: (tensor.name != "image", tensor.name))


def _by_role(outputs: ModelOutputs) -> str:
    roles = (one.name for one in fields(outputs) if one.init)
    return ", ".join(_typed(role, getattr(outputs, role)) for role in roles)


def _typed(name: str, tensor: ProgramTensor) -> str:
    return f"{name}: {tensor.dtype}{list(tensor.dims)}"


def _steps(plan: PreprocessPlan) -> str:
    return ", ".join(str(step).replace("Step(", "(") for step in plan.steps)
