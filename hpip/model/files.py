# SPDX-License-Identifier: Apache-2.0
"""The files of a model directory."""

from __future__ import annotations

from pathlib import Path

from hpip.errors import ModelFormatError
from hpip.types import ModelFiles

CONFIG_NAME = "inference.yml"
PARAMS_NAME = "inference.pdiparams"
# In order of preference, like PaddleX.
PROGRAM_NAMES = ("inference.json", "inference.pdmodel")


def find_model_files(folder: Path) -> ModelFiles:
    """Find program and parameters in a model directory; the paths hold from every folder.

    The program keeps its name, whose suffix tells its format. If the parameter file is a symbolic
    link, its target is returned: in the cache of a model hub it lies in another folder, and ONNX
    Runtime reads weights only from the folder that it is given.

    Args:
        folder: absolute.

    Raises:
        ModelFormatError: the directory or one of its three files is missing, or a file is empty.
    """
    wanted = f"{CONFIG_NAME}, {' or '.join(PROGRAM_NAMES)}, and {PARAMS_NAME}"
    if not folder.is_dir():
        what = "is not a directory" if folder.exists() else "does not exist"
        raise ModelFormatError(
            f"model directory {folder} {what}: expected a directory with {wanted}."
        )
    programs = [folder / name for name in PROGRAM_NAMES if (folder / name).is_file()]
    params = folder / PARAMS_NAME
    missing = [] if programs else [" or ".join(PROGRAM_NAMES)]
    missing += [path.name for path in (params, folder / CONFIG_NAME) if not path.is_file()]
    if missing:
        there = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise ModelFormatError(
            f"model directory {folder} lacks {', '.join(missing)}: expected {wanted}, received "
            f"{there}. Copy the missing files or export the model again."
        )
    for path in (programs[0], params):
        if path.stat().st_size == 0:
            raise ModelFormatError(f"{path} is empty. Copy or export the model again.")
    return ModelFiles(programs[0], params.resolve())
