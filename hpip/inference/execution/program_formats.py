# SPDX-License-Identifier: Apache-2.0
"""A program in the format that an engine loads, made once and kept in the cache."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import util

from hpip.backends.base import Backend, Feeds, ProgramFormat
from hpip.common.cache import Cache, content_key
from hpip.common.devices import Device
from hpip.common.files import files_digest
from hpip.errors import BackendError, BackendUnavailableError, ModelFormatError
from hpip.graph.onnx_version import EXPORTER_VERSION
from hpip.graph.params import ParameterFile
from hpip.graph.program import Program
from hpip.types import ModelFiles

_ONNX_NAME = "model.onnx"
_INT8_NAME = "int8.onnx"


def artifact(files: ModelFiles, wanted: ProgramFormat, *, cache: Cache | None = None) -> ModelFiles:
    """Files of the same program for an engine that loads `wanted`.

    The parameters stay where they are: an ONNX program names the file and the places of its weights
    in it, and the engine is told the folder.

    Raises:
        BackendUnavailableError: the `onnx` package, which writes the format, is not here.
        ModelFormatError: a file is damaged, or the parameters do not belong to the program.
        GraphRewriteError: the program holds what has no counterpart in ONNX; all of it is named.
    """
    if wanted == "paddle":
        return files
    try:
        content = files.program.read_bytes()
    except OSError as error:
        raise ModelFormatError(f"cannot read the program {files.program}: {error}") from error
    cache = cache or Cache()
    key = content_key(f"onnx {EXPORTER_VERSION}", files.params.name, content)
    loaded = cache.load(key)
    if loaded is not None and (loaded[0] / _ONNX_NAME).is_file():
        return ModelFiles(loaded[0] / _ONNX_NAME, files.params)
    _require_onnx()
    record = {"title": f"{files.program.stem} in ONNX"}
    folder = cache.store(key, record, {_ONNX_NAME: _export(files)})
    return ModelFiles(folder / _ONNX_NAME, files.params)


def int8_artifact(
    files: ModelFiles,
    backend: Backend,
    device: Device,
    calibration: str,
    *,
    feeds: Iterable[Feeds] | None = None,
    cache: Cache | None = None,
) -> ModelFiles:
    """Files of the same program in int8.

    Args:
        files: program and parameters of a model, as exported or cut.
        backend: whose quantiser makes it.
        device: where it is to run.
        calibration: names the pictures, and what turns them into `feeds`.
        feeds: what the pictures give; read only where the program is not there yet. None takes
            what is there.
        cache: where it is kept; None takes the user's.

    Raises:
        BackendError: there is no such program and no feeds, or the quantiser refused the network.
        BackendUnavailableError, ModelFormatError, GraphRewriteError: as `artifact`; the first also
            where the backend has no quantiser.
    """
    source = artifact(files, backend.format, cache=cache)
    cache = cache or Cache()
    quantizer = backend.quantizer(device)
    network = files_digest((source.program, source.params))
    key = content_key("int8", str(quantizer), calibration, network)
    loaded = cache.load(key)
    if loaded is not None:
        return ModelFiles(loaded[0] / _INT8_NAME, source.params)
    if feeds is None:
        raise BackendError(
            backend.name,
            "open",
            f"the program {files.program.stem} is not in the cache in int8, or its model, "
            "hpip or the engine has changed since; make it with: "
            "hpip tune MODEL_DIR --precision int8 --input PICTURES",
        )
    record = {"title": f"{files.program.stem} in int8"}
    folder = cache.store(key, record, {_INT8_NAME: backend.quantize(source, feeds)})
    return ModelFiles(folder / _INT8_NAME, source.params)


def _export(files: ModelFiles) -> bytes:
    from hpip.graph.onnx_export import export_onnx

    if files.program.suffix != ".json":
        raise ModelFormatError(
            f"{files.program.name} is in the format of Paddle 2; only inference.json of Paddle 3 "
            "can be converted. Export the model again with Paddle 3, or use a Paddle backend."
        )
    program = Program.read(files.program)
    model = export_onnx(program, ParameterFile(files.params, program))
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def _require_onnx() -> None:
    if util.find_spec("onnx") is None:
        raise BackendUnavailableError(
            "onnx", "the onnx package is not installed.", "Install it with: pip install 'hpip[cpu]'"
        )
