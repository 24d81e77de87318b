# SPDX-License-Identifier: Apache-2.0
"""From a model's files to a plan that does less work for the same answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpip.common.cache import Cache, content_key
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

# Raise when the layout of an entry changes.
_RECORD_VERSION = "6"


@dataclass(frozen=True)
class PassReport:
    """What one pass did to a model."""

    name: str
    modified: bool
    reason: str


@dataclass(frozen=True)
class CompiledModel:
    """What to run in place of the export, and what remains to be done natively.

    Attributes:
        plan: the steps to run; empty where the export is to be run as it is. The parameters are the
            export's own file.
        outputs: names of the values that `masks` speaks of.
        masks: what remains; None where there is no plan.
        max_batch_size: images that one run may take; None for any number.
        reason: one line: what was gained, or why the export is run as it is.
        passes: what each pass did.
        key: names the rewritten programs; empty where there are none.
    """

    plan: tuple[PlanStep, ...]
    outputs: tuple[str, ...]
    masks: MaskSource | None
    max_batch_size: int | None
    reason: str
    passes: tuple[PassReport, ...]
    key: str

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The parts that engines run."""
        return tuple(step for step in self.plan if isinstance(step, Segment))


def compile_model(files: ModelFiles, *, cache: Cache | None = None) -> CompiledModel:
    """Rewrite an export, or take the rewritten program from the cache.

    Nothing is written beside the model. An export that can't be rewritten comes back as it is,
    with the reason.

    Args:
        files: program and parameters of the export.
        cache: where rewritten programs are; None takes the user's.

    Raises:
        ModelFormatError: the parameters are damaged or do not belong to the program.
    """
    cache = cache or Cache()
    if files.program.suffix != ".json":
        try:
            files = translate(files, cache)
        except ModelFormatError as error:
            logger.warning("%s is run as it is: %s", files.program, error)
            return _untouched(str(error))
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
            logger.warning("cache entry %s is of another version: %s", folder, error)
            cache.discard(key)
    try:
        program = Program.read(files.program)
    except ModelFormatError as error:
        return _untouched(str(error))
    try:
        ParameterFile(files.params, program)
        record, written = _rewrite(program, files.program.parent.name)
    except GraphRewriteError as error:
        logger.warning("%s is run as it is: %s", files.program, error)
        return _untouched(str(error))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, ModelFormatError):
            raise
        # Attributes are looked at where a pass needs them, so damage may show anywhere.
        logger.warning("%s is run as it is: it is damaged: %s", files.program, error)
        return _untouched(f"the program is damaged: {type(error).__name__}: {error}")
    try:
        folder = cache.store(key, record, written)
    except OSError as error:
        logger.warning("%s is run as it is: %s", files.program, error)
        return _untouched(f"the cut program can't be written anywhere: {error}")
    return _from_record(files, folder, record, key)


def _rewrite(program: Program, name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Run the passes; returns the cache's record and the programs by file name."""
    result = Sequential(PASSES)(program)
    reports = tuple(PassReport(name, r.modified, r.reason) for name, r in result.steps)
    if result.masks is None:
        steps = [asdict(report) for report in reports]
        return {"title": f"{name}, nothing to cut", "masks": None, "passes": steps}, {}
    parts, split_report = _parts(program)
    written = {
        part.file_name: part.program.to_bytes() for part in parts if isinstance(part, DensePart)
    }
    record = {
        "title": f"{name}, cut program",
        "masks": asdict(result.masks),
        "max_batch_size": None if _takes_batches(program, result.masks) else 1,
        "outputs": [op.attribute("name") for op in program.outputs],
        "plan": [part_to_json(part) for part in parts],
        "passes": [asdict(report) for report in (*reports, split_report)],
    }
    return record, written


def _parts(program: Program) -> tuple[tuple[Part, ...], PassReport]:
    """The cut program in segments and native steps, or in one segment."""
    try:
        # Splitting changes the program, even where it finds in the end that something stays.
        parts = split(program.copy())
    except (NoMatchError, GraphRewriteError) as error:
        return (DensePart("whole", program),), PassReport("split", False, str(error))
    segments = sum(isinstance(part, DensePart) for part in parts)
    return parts, PassReport("split", True, f"split into {segments} segments")


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


def _takes_batches(program: Program, masks: MaskSource) -> bool:
    """Whether a batch works; without boxes, no counts assign instances to images."""
    return masks.boxes_frame != "none" and is_batch_safe(program)


def mask_source_from_json(record: Mapping[str, Any]) -> MaskSource:
    """The inverse of `dataclasses.asdict` after a trip through JSON."""
    fields = dict(record)
    if fields["upsample_hw"] is not None:
        height, width = fields["upsample_hw"]
        fields["upsample_hw"] = (int(height), int(width))
    return MaskSource(**fields)


def _untouched(reason: str) -> CompiledModel:
    return CompiledModel((), (), None, 1, reason, (), "")
