# SPDX-License-Identifier: Apache-2.0
"""From a model's files to a plan that does less work for the same answer."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpip.errors import GraphRewriteError, ModelFormatError
from hpip.graph.cache import Cache, content_key
from hpip.graph.params import ParameterFile
from hpip.graph.passes.add_score_threshold import SCORE_THRESHOLD
from hpip.graph.passes.base import Sequential
from hpip.graph.program import Program
from hpip.graph.standard_passes import PASSES, passes_key
from hpip.types import MaskSource, ModelFiles

logger = logging.getLogger(__name__)

_PROGRAM_NAME = "inference.json"
# Raise when the layout of an entry changes.
_RECORD_VERSION = "1"


@dataclass(frozen=True)
class PassReport:
    """What one pass did to a model."""

    name: str
    modified: bool
    reason: str


@dataclass(frozen=True)
class CompiledModel:
    """A program to run in place of the export, and what remains to be done natively.

    Attributes:
        files: program and parameters to run. The parameters are the export's own file.
        masks: what remains; None where the export is to be run as it is.
        threshold_input: name of the input that takes the score threshold, or None.
        reason: one line: what was gained, or why the export is run as it is.
        passes: what each pass did.
        key: names the rewritten program; empty where there is none.
    """

    files: ModelFiles
    masks: MaskSource | None
    threshold_input: str | None
    reason: str
    passes: tuple[PassReport, ...]
    key: str


def compile_model(files: ModelFiles, *, cache: Cache | None = None) -> CompiledModel:
    """Rewrite an export, or take the rewritten program from the cache.

    Nothing is written beside the model. An export that can't be rewritten comes back as it is,
    with the reason.

    Raises:
        ModelFormatError: the parameters are damaged or do not belong to the program.
    """
    cache = cache or Cache()
    if files.program.suffix != ".json":
        return _untouched(files, f"{files.program.name} is in the format of Paddle 2")
    try:
        content = files.program.read_bytes()
    except OSError as error:
        raise ModelFormatError(f"cannot read the program {files.program}: {error}") from error
    key = content_key(_RECORD_VERSION, passes_key(), content)
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
        return _untouched(files, str(error))
    ParameterFile(files.params, program)
    return _rewrite(files, program, key, cache)


def _rewrite(files: ModelFiles, program: Program, key: str, cache: Cache) -> CompiledModel:
    try:
        result = Sequential(PASSES)(program)
    except GraphRewriteError as error:
        logger.warning("%s is run as it is: %s", files.program, error)
        return _untouched(files, str(error))
    reports = tuple(PassReport(name, r.modified, r.reason) for name, r in result.steps)
    title = f"{files.program.parent.name}, cut program"
    written: dict[str, bytes] = {}
    if result.masks is not None:
        text = json.dumps(program.to_json(), separators=(",", ":"), ensure_ascii=False)
        written[_PROGRAM_NAME] = text.encode()
    record = {
        "title": title if written else f"{files.program.parent.name}, nothing to cut",
        "masks": None if result.masks is None else asdict(result.masks),
        "threshold_input": SCORE_THRESHOLD if SCORE_THRESHOLD in program.inputs else None,
        "passes": [asdict(report) for report in reports],
    }
    return _from_record(files, cache.store(key, record, written), record, key)


def _from_record(
    files: ModelFiles, folder: Path, record: dict[str, Any], key: str
) -> CompiledModel:
    reports = tuple(PassReport(**report) for report in record["passes"])
    if record["masks"] is None:
        reasons = "; ".join(f"{report.name}: {report.reason}" for report in reports)
        return CompiledModel(files, None, None, f"no pass matched ({reasons})", reports, "")
    reason = "; ".join(report.reason for report in reports if report.modified)
    return CompiledModel(
        ModelFiles(folder / _PROGRAM_NAME, files.params),
        mask_source_from_json(record["masks"]),
        record["threshold_input"],
        reason,
        reports,
        key,
    )


def mask_source_from_json(record: Mapping[str, Any]) -> MaskSource:
    """The inverse of `dataclasses.asdict` after a trip through JSON."""
    fields = dict(record)
    if fields["upsample_hw"] is not None:
        height, width = fields["upsample_hw"]
        fields["upsample_hw"] = (int(height), int(width))
    return MaskSource(**fields)


def _untouched(files: ModelFiles, reason: str) -> CompiledModel:
    return CompiledModel(files, None, None, reason, (), "")
