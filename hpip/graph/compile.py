# SPDX-License-Identifier: Apache-2.0
"""Compiles an exported model to a plan that does less work for the same results."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpip.common.cache import CACHE_VARIABLE, Cache, content_key
from hpip.errors import GraphRewriteError, ModelFormatError
from hpip.graph.batching import is_batch_safe
from hpip.graph.params import ParameterFile
from hpip.graph.parts import DensePart, Part, part_to_json, plan_from_json
from hpip.graph.passes.base import NoMatchError, Sequential
from hpip.graph.program import Program
from hpip.graph.split import LIFTS, split
from hpip.graph.standard_passes import PASSES, passes_key
from hpip.graph.translate import translate
from hpip.types import MaskSource, ModelFiles, PlanStep, Segment

logger = logging.getLogger(__name__)

# Increase when the layout of a cache entry changes.
_RECORD_VERSION = "6"


@dataclass(frozen=True)
class PassReport:
    """What one pass did with a model."""

    name: str
    modified: bool
    reason: str


@dataclass(frozen=True)
class CompiledModel:
    """The truncated graph of a model and its mask post-processing, or why there is none.

    hpip removes the mask head's resize to the original image from the graph, and finishes masks
    natively.

    Attributes:
        plan: the steps to run; empty to run the original graph. The parameter file is that of the
            exported model.
        outputs: names of the graph outputs, which `masks` refers to.
        masks: the mask post-processing; None without a plan.
        max_batch_size: maximum number of images per run; None for no limit.
        reason: one line: what the passes changed, or why the original graph is used.
        mendable: True if the user can change that reason, which then says how.
        passes: report of each pass.
        key: cache key of the rewritten programs; empty without a plan.
    """

    plan: tuple[PlanStep, ...]
    outputs: tuple[str, ...]
    masks: MaskSource | None
    max_batch_size: int | None
    reason: str
    passes: tuple[PassReport, ...]
    key: str
    mendable: bool = False

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments that engines run."""
        return tuple(step for step in self.plan if isinstance(step, Segment))


def compile_model(files: ModelFiles, *, cache: Cache | None = None) -> CompiledModel:
    """Rewrite an exported model, or load its rewritten program from the cache.

    Nothing is written to the model's folder. If the model can't be rewritten, the result has no
    plan, and the reason.

    Args:
        files: program and parameters of the exported model.
        cache: cache of rewritten programs; None uses the user's cache.

    Raises:
        ModelFormatError: the parameters are damaged or do not belong to the program.
    """
    cache = cache or Cache()
    if files.program.suffix != ".json":
        try:
            files = translate(files, cache)
        except ModelFormatError as error:
            logger.warning("the original graph of %s is used: %s", files.program, error)
            return _original_graph(str(error), mendable=True)
    try:
        content = files.program.read_bytes()
    except OSError as error:
        raise ModelFormatError(f"cannot read the program {files.program}: {error}") from error
    key = content_key(_RECORD_VERSION, passes_key(PASSES + LIFTS), content)
    loaded = cache.load(key)
    if loaded is not None:
        folder, record = loaded
        try:
            return _from_record(files, folder, record, key)
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("cache entry %s has another version and is rebuilt: %s", folder, error)
            cache.discard(key)
    try:
        program = Program.read(files.program)
    except ModelFormatError as error:
        return _original_graph(str(error), mendable=True)
    try:
        ParameterFile(files.params, program)
        record, written = _rewrite(program, files.program.parent.name)
    except GraphRewriteError as error:
        logger.warning("the original graph of %s is used: %s", files.program, error)
        return _original_graph(str(error))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, ModelFormatError):
            raise
        # Attributes are decoded when a pass reads them, so damage can surface anywhere.
        logger.warning("the original graph of %s is used: it is damaged: %s", files.program, error)
        return _original_graph(f"the program is damaged: {type(error).__name__}: {error}")
    try:
        folder = cache.store(key, record, written)
    except OSError as error:
        logger.warning("the original graph of %s is used: %s", files.program, error)
        return _original_graph(
            f"the truncated graph can't be written to the cache or a temporary folder: {error}."
            f" Free disk space, or set {CACHE_VARIABLE} to a writable folder.",
            mendable=True,
        )
    return _from_record(files, folder, record, key)


def _rewrite(program: Program, name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Run the passes; returns the cache record, and the programs by file name."""
    result = Sequential(PASSES)(program)
    reports = tuple(PassReport(name, r.modified, r.reason) for name, r in result.steps)
    if result.masks is None:
        steps = [asdict(report) for report in reports]
        return {"title": f"{name}, original graph", "masks": None, "passes": steps}, {}
    parts, split_report = _parts(program)
    written = {
        part.file_name: part.program.to_bytes() for part in parts if isinstance(part, DensePart)
    }
    record = {
        "title": f"{name}, truncated graph",
        "masks": asdict(result.masks),
        "max_batch_size": None if _takes_batches(parts, result.masks) else 1,
        "outputs": [op.attribute("name") for op in program.outputs],
        "plan": [part_to_json(part) for part in parts],
        "passes": [asdict(report) for report in (*reports, split_report)],
    }
    return record, written


def _parts(program: Program) -> tuple[tuple[Part, ...], PassReport]:
    """Split the truncated graph into segments and native steps, or use it as one segment."""
    try:
        # `split` modifies the program, even if it fails later.
        parts = split(program.copy())
    except (NoMatchError, GraphRewriteError) as error:
        return (DensePart("whole", program),), PassReport("split", False, str(error))
    segments = sum(isinstance(part, DensePart) for part in parts)
    plural = "s" * (segments != 1)
    return parts, PassReport("split", True, f"split into {segments} segment{plural}")


def _from_record(
    files: ModelFiles, folder: Path, record: dict[str, Any], key: str
) -> CompiledModel:
    reports = tuple(PassReport(**report) for report in record["passes"])
    if record["masks"] is None:
        reasons = "; ".join(f"{report.name}: {report.reason}" for report in reports)
        return CompiledModel((), (), None, 1, f"no pass matched ({reasons})", reports, "")
    return CompiledModel(
        plan_from_json(record["plan"], folder, files.params),
        tuple(record["outputs"]),
        mask_source_from_json(record["masks"]),
        record["max_batch_size"],
        "; ".join(report.reason for report in reports if report.modified),
        reports,
        key,
    )


def _takes_batches(parts: Sequence[Part], masks: MaskSource) -> bool:
    """Whether a batch works.

    Without boxes, no counts assign instances to images. A loop over the images, which only an
    unsplit program has, fails if images have different numbers of boxes.
    """
    programs = [part.program for part in parts if isinstance(part, DensePart)]
    return masks.boxes_frame != "none" and all(
        is_batch_safe(program) and not any(op.name == "pd_op.while" for op in program.walk())
        for program in programs
    )


def mask_source_from_json(record: Mapping[str, Any]) -> MaskSource:
    """Inverse of `dataclasses.asdict` and JSON serialization."""
    fields = dict(record)
    if fields["upsample_hw"] is not None:
        height, width = fields["upsample_hw"]
        fields["upsample_hw"] = (int(height), int(width))
    return MaskSource(**fields)


def _original_graph(reason: str, *, mendable: bool = False) -> CompiledModel:
    return CompiledModel((), (), None, 1, reason, (), "", mendable)
