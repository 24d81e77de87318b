# SPDX-License-Identifier: Apache-2.0
"""OpenVINO's compiled models, kept so that the next start need not compile them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpip.backends.base import SessionOptions
from hpip.backends.engine_builds import build_key, built_folder
from hpip.common.system import cpu_facts, cpu_model
from hpip.types import ModelFiles

if TYPE_CHECKING:
    from openvino import CompiledModel

logger = logging.getLogger(__name__)

_BLOB = "model.blob"
_DIGEST = "model.sha256"


def cached_model(
    files: ModelFiles,
    options: SessionOptions,
    properties: Mapping[str, Any],
    compile_model: Callable[[], CompiledModel],
) -> CompiledModel:
    """The compiled model from `options.build_dir`; compiled and kept there where it is not yet.

    What was just compiled is read back, too: an engine is tried in the form in which it serves
    later. Where it can't be kept, it is compiled at every start.

    OpenVINO's own CACHE_DIR would read and hash the program first, and its files, once damaged, are
    taken as they are.

    Raises:
        RuntimeError: OpenVINO refused the network.
    """
    if options.build_dir is None:
        return compile_model()
    import openvino

    # The number of threads is no part of it, nor of what is compiled.
    key = build_key(files, options, {"openvino": str(openvino.__version__)}, cpu_model(cpu_facts()))
    folder = options.build_dir / f"openvino-{key}"
    if (data := _read(folder)) is None:
        compiled = compile_model()
        try:
            built_folder(folder, lambda partial: _write(partial, compiled), _is_whole)
            data = _read(folder)
        except (OSError, RuntimeError) as error:
            logger.warning("%s can't be kept, so that the next start is slower: %s", folder, error)
        if data is None:
            return compiled
        del compiled
    try:
        return openvino.Core().import_model(data, "CPU", dict(properties))
    except RuntimeError as error:
        logger.warning("%s can't be read, so that the start is slower: %s", folder, error)
        return compile_model()


def _write(folder: Path, compiled: CompiledModel) -> None:
    blob = compiled.export_model().getbuffer()
    (folder / _BLOB).write_bytes(blob)
    (folder / _DIGEST).write_text(hashlib.sha256(blob).hexdigest())


def _read(folder: Path) -> bytes | None:
    """The model, or None where there is none or it is damaged."""
    try:
        data, digest = (folder / _BLOB).read_bytes(), (folder / _DIGEST).read_text()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == digest else None


def _is_whole(folder: Path) -> bool:
    return _read(folder) is not None
