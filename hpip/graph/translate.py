# SPDX-License-Identifier: Apache-2.0
"""Translates programs of Paddle 2 (`.pdmodel`) to the format of Paddle 3, using Paddle.

The translation runs in a child process, since Paddle's static mode is global and a damaged file may
crash the process.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hpip.common.cache import Cache, content_key
from hpip.common.interpreter import child_command
from hpip.errors import ModelFormatError
from hpip.types import ModelFiles

# Increase when the translation of a file changes.
_VERSION = "1"
_PROGRAM = "inference.json"
_TIMEOUT_S = 300.0


def translate(files: ModelFiles, cache: Cache) -> ModelFiles:
    """Translate a `.pdmodel`, or load the translation from the cache.

    Returns:
        The translated program, with the given parameter file.

    Raises:
        ModelFormatError: the file can't be read, or Paddle can't translate it.
    """
    try:
        key = content_key("translate", _VERSION, files.program.read_bytes())
    except OSError as error:
        raise ModelFormatError(f"cannot read the program {files.program}: {error}") from error
    loaded = cache.load(key)
    if loaded is not None:
        return ModelFiles(loaded[0] / _PROGRAM, files.params)
    title = f"{files.program.parent.name}, translated from Paddle 2"
    try:
        with tempfile.TemporaryDirectory(prefix="hpip-") as folder:
            target = Path(folder) / _PROGRAM
            _ask_child(files.program, target)
            content = target.read_bytes()
        entry = cache.store(key, {"title": title}, {_PROGRAM: content})
    except OSError as error:
        raise ModelFormatError(
            f"{files.program} can't be translated, since no folder can be written: {error}"
        ) from error
    return ModelFiles(entry / _PROGRAM, files.params)


def _ask_child(source: Path, target: Path) -> None:
    command = child_command("hpip.graph.translate", str(source.resolve()), str(target))
    if command is None:
        raise ModelFormatError(
            f"{source} is in the format of Paddle 2 and can't be translated in an application "
            "without a Python interpreter. Export the model with Paddle 3."
        )
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelFormatError(
            f"{source} could not be translated to the format of Paddle 3: {error}"
        ) from error
    if done.returncode or not target.is_file():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ModelFormatError(
            f"Paddle can't translate {source} to its format of version 3 (exit code "
            f"{done.returncode}): {last}. Export the model with Paddle 3."
        )


def _translate_here(source: Path, target: Path) -> None:
    """Translate in this process; leaves Paddle in static mode."""
    import paddle
    from paddle.base import core
    from paddle.base.framework import process_type_promotion

    paddle.enable_static()
    old = process_type_promotion(paddle.static.deserialize_program(source.read_bytes()))
    with paddle.pir_utils.IrGuard():
        program = paddle.pir.translate_to_pir(old.desc)
        _name_inputs(paddle, program)
        core.serialize_pir_program(program, str(target), True, False, True)


def _name_inputs(paddle: Any, program: Any) -> None:
    """Replace columns of the old feed list, which the translation leaves, by inputs."""
    block = program.global_block()
    for op in [op for op in block.ops if op.name() == "pd_op.feed"]:
        old = op.result(0)
        with block:
            new = paddle.static.data(op.attrs()["name"], old.shape, old.dtype)
        old.replace_all_uses_with(new)
        new.get_defining_op().move_before(op)
        block.remove_op(op)


if __name__ == "__main__":
    _translate_here(Path(sys.argv[1]), Path(sys.argv[2]))
