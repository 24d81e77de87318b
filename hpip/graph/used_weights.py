# SPDX-License-Identifier: Apache-2.0
"""Reduces a segment's parameter file to the weights that it uses, while an engine loads it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hpip.graph.operation import PARAMETER
from hpip.graph.params import ParameterFile, write_parameters
from hpip.graph.program import Program
from hpip.types import ModelFiles

logger = logging.getLogger(__name__)

# The copy takes as much time as it saves the engine, so it is made only if it saves much memory.
_MIN_UNREAD_FRACTION = 0.5


@contextmanager
def used_weights(files: ModelFiles) -> Iterator[ModelFiles]:
    """Files to load in place of `files`; they may be deleted when the block ends.

    A combined parameter file is read by position, so that every segment of a plan declares all
    weights, and Paddle holds all of them in memory for each segment (177 MB each for MaskRCNN-
    ResNet50-FPN). If a segment uses less than half of them, both files are rewritten to a temporary
    folder; if that folder can't be written, the result is `files`.

    Raises:
        ModelFormatError: a file is damaged, or program and parameters do not belong together.
    """
    with ExitStack() as stack:
        chosen = files
        if files.program.suffix == ".json":
            program = Program.read(files.program)
            weights = ParameterFile(files.params, program)
            unread = [
                op for op in program.parameters.values() if not program.readers(op.outputs[0])
            ]
            total, spared = (
                sum(weights.tensors[op.parameter_name].size_bytes for op in ops)
                for ops in (program.parameters.values(), unread)
            )
            if spared > _MIN_UNREAD_FRACTION * total:
                try:
                    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hpip-"))
                    program.remove(unread)
                    chosen = _write(program, weights, Path(folder))
                except OSError as error:
                    logger.debug("%s is loaded with all weights: %s", files.program, error)
        yield chosen


def _write(program: Program, weights: ParameterFile, folder: Path) -> ModelFiles:
    files = ModelFiles(folder / "inference.json", folder / "inference.pdiparams")
    program.write(files.program)
    names = [op.parameter_name for op in program.block.operations if op.name == PARAMETER]
    write_parameters(files.params, {name: weights.array(name) for name in names})
    return files
