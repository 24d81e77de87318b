# SPDX-License-Identifier: Apache-2.0
"""A segment with the weights that it reads and no others, for as long as an engine loads it."""

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

# Copying takes as long as the engine then saves: it pays in memory where most weights go unread.
_LEAST_UNREAD = 0.5


@contextmanager
def used_weights(files: ModelFiles) -> Iterator[ModelFiles]:
    """Files to open in place of `files`, which may vanish when the block ends.

    A combined parameter file is read by position, so that every segment of a plan declares the
    weights of all, and Paddle keeps them all in memory, once for each segment (MaskRCNN-ResNet50-
    FPN: 177 MB each). For a segment that reads less than half of them, both files are written anew
    to a temporary folder; where that is not possible, the given files come back.

    Raises:
        ModelFormatError: a file is damaged, or they do not belong together.
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
            if spared > _LEAST_UNREAD * total:
                try:
                    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hpip-"))
                    program.remove(unread)
                    chosen = _write(program, weights, Path(folder))
                except OSError as error:
                    logger.debug("%s is opened with all weights: %s", files.program, error)
        yield chosen


def _write(program: Program, weights: ParameterFile, folder: Path) -> ModelFiles:
    files = ModelFiles(folder / "inference.json", folder / "inference.pdiparams")
    program.write(files.program)
    names = [op.parameter_name for op in program.block.operations if op.name == PARAMETER]
    write_parameters(files.params, {name: weights.array(name) for name in names})
    return files
