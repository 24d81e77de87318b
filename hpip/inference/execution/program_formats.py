# SPDX-License-Identifier: Apache-2.0
"""Converts a program to the format that an engine loads, and caches the result."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import util

from hpip.backends.base import Backend, Feeds, ProgramFormat
from hpip.common.cache import Cache, content_key
from hpip.common.devices import Device
from hpip.common.digest import files_digest
from hpip.errors import BackendError, BackendUnavailableError, ModelFormatError
from hpip.graph.onnx_version import EXPORTER_VERSION
from hpip.graph.params import ParameterFile
from hpip.graph.program import Program
from hpip.model.bundle_manifest import int8_name
from hpip.types import ModelFiles

_ONNX_NAME = "model.onnx"
_INT8_NAME = "int8.onnx"


def artifact(files: ModelFiles, wanted: ProgramFormat, *, cache: Cache | None = None) -> ModelFiles:
    """Convert a program to a format, or load the conversion from the cache.

    The parameters are not copied: an ONNX program refers to the original file as external data.

    Args:
        files: program and parameters in Paddle's format, or a graph of a bundle in ONNX.
        wanted: the format that the engine loads.
        cache: where conversions are stored; None for the user's cache.

    Raises:
        BackendUnavailableError: the `onnx` package is not installed.
        BackendError: the program is a graph of a bundle, which has ONNX only.
        ModelFormatError: a file is damaged, or the parameters do not belong to the program.
        GraphRewriteError: the program has operators that hpip can't convert to ONNX; the error
            lists all of them.
    """
    if files.program.suffix == ".onnx":
        if wanted == "paddle":
            raise BackendError("paddle", "open", f"{files.program.name} of a bundle is in ONNX")
        return files
    if wanted == "paddle":
        return files
    try:
        content = files.program.read_bytes()
    except OSError as error:
        raise ModelFormatError(f"hpip can't read the program {files.program}: {error}") from error
    cache = cache or Cache()
    key = content_key(f"onnx {EXPORTER_VERSION}", files.params.name, content)
    loaded = cache.load(key)
    if loaded is not None and (loaded[0] / _ONNX_NAME).is_file():
        return ModelFiles(loaded[0] / _ONNX_NAME, files.params)
    _require_onnx()
    record = {"title": f"{files.program.stem} in ONNX"}
    folder = cache.store(key, record, {_ONNX_NAME: _export(files)})
    return ModelFiles(folder / _ONNX_NAME, files.params)


def bundled_int8(files: ModelFiles) -> ModelFiles | None:
    """The int8 version of a graph that comes from a bundle; None if there is none."""
    program = files.program.with_name(int8_name(files.program.name))
    is_there = files.program.suffix == ".onnx" and program.is_file()
    return ModelFiles(program, files.params) if is_there else None


def int8_artifact(
    files: ModelFiles,
    backend: Backend,
    device: Device,
    calibration: str,
    *,
    feeds: Iterable[Feeds] | None = None,
    cache: Cache | None = None,
) -> ModelFiles:
    """Quantize a program to int8, or load the quantized program from the cache.

    Args:
        files: program and parameters of an original or truncated graph.
        backend: the backend whose quantizer is used.
        device: the device that will run the program.
        calibration: key of the calibration images and their preprocessing.
        feeds: the program's inputs for the calibration images; read only if the program is not in
            the cache. None loads from the cache only.
        cache: where quantized programs are stored; None for the user's cache.

    Raises:
        BackendError: the program is not in the cache and there are no feeds, or the quantizer
            failed.
        BackendUnavailableError, ModelFormatError, GraphRewriteError: see `artifact`; the first
            also if the backend has no quantizer.
    """
    source = artifact(files, backend.format, cache=cache)
    cache = cache or Cache()
    quantizer = backend.quantizer(device)
    network = files_digest((source.program, source.params), cache=cache)
    key = content_key("int8", str(quantizer), calibration, network)
    loaded = cache.load(key)
    if loaded is not None:
        return ModelFiles(loaded[0] / _INT8_NAME, source.params)
    if feeds is None:
        raise BackendError(
            backend.name,
            "open",
            f"the cache has no int8 version of the graph {files.program.stem} for this version "
            "of the model, of hpip and of the engine. Create it with: "
            "hpip tune MODEL_DIR --precision int8 --input IMAGES",
        )
    record = {"title": f"{files.program.stem} in int8"}
    folder = cache.store(key, record, {_INT8_NAME: backend.quantize(source, feeds)})
    return ModelFiles(folder / _INT8_NAME, source.params)


def _export(files: ModelFiles) -> bytes:
    from hpip.graph.onnx_export import export_onnx

    if files.program.suffix != ".json":
        raise ModelFormatError(
            f"{files.program.name} is in the format of Paddle 2; hpip converts only inference.json "
            "of Paddle 3 to ONNX. Export the model again with Paddle 3, or use a Paddle backend."
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
