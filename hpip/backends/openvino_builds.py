# SPDX-License-Identifier: Apache-2.0
"""Cache of OpenVINO's compiled models, so that the next start does not compile them.

A compiled model may also come with the graph, in a bundle: a file beside the graph tells where it
is, and which version of OpenVINO and which processor it is for.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpip.backends.base import SessionOptions
from hpip.backends.engine_builds import build_key, built_folder
from hpip.backends.openvino_core import core
from hpip.common.system import cpu_facts, cpu_model
from hpip.types import ModelFiles

if TYPE_CHECKING:
    from openvino import CompiledModel

logger = logging.getLogger(__name__)

BLOB_NAME = "model.blob"
_DIGEST = "model.sha256"


@dataclass(frozen=True)
class ShippedBuild:
    """A compiled model that came with its graph.

    Attributes:
        file: the file that holds it.
        start: its first byte in the file.
        size_bytes: its size.
        sha256: its digest.
        target: the version of OpenVINO, the processor and the settings that it is for; see
            `build_target`.
    """

    file: str
    start: int
    size_bytes: int
    sha256: str
    target: Mapping[str, str]

    def announce(self) -> bytes:
        """Content of the file beside the graph, named by `announcement`."""
        return json.dumps(asdict(self)).encode()


def announcement(program: str) -> str:
    """Name of the file beside a graph that tells where its compiled model is."""
    return f"{program}.openvino.json"


def build_target(options: SessionOptions) -> dict[str, str]:
    """What a compiled model depends on beside the graph; the number of threads is not part."""
    import openvino

    return {
        "openvino": str(openvino.__version__),
        "processor": cpu_model(cpu_facts()),
        "precision": options.precision,
        "settings": repr(sorted(options.settings.items())),
    }


def cached_model(
    files: ModelFiles,
    options: SessionOptions,
    properties: Mapping[str, Any],
    compile_model: Callable[[], CompiledModel],
) -> CompiledModel:
    """The compiled model from `options.build_dir`; compiles and stores it if it is missing.

    A model that was just compiled is imported from the cache too, so that the tuner measures the
    form that later runs use. If it can't be stored, it is compiled at every start.

    OpenVINO's own CACHE_DIR is not used: it reads and hashes the model first, and does not detect
    damaged files.

    Raises:
        RuntimeError: OpenVINO can't compile the network.
    """
    if options.build_dir is None:
        return compile_model()
    import openvino

    # The number of threads is not part of the key, since the compiled model does not depend on it.
    key = build_key(files, options, {"openvino": str(openvino.__version__)}, cpu_model(cpu_facts()))
    folder = options.build_dir / f"openvino-{key}"
    data = _read(folder)
    if data is None:
        data = _shipped(files, options)
    if data is None:
        compiled = compile_model()
        try:
            built_folder(folder, lambda partial: _write(partial, compiled), _is_whole)
            data = _read(folder)
        except (OSError, RuntimeError) as error:
            logger.warning("can't store %s, so the next start is slower: %s", folder, error)
        if data is None:
            return compiled
        del compiled
    try:
        return core().import_model(data, "CPU", dict(properties))
    except RuntimeError as error:
        logger.warning("can't import %s, so the model is compiled again: %s", folder, error)
        return compile_model()


def _shipped(files: ModelFiles, options: SessionOptions) -> bytes | None:
    """The compiled model that came with the graph; None if it is missing or for another target."""
    try:
        text = files.program.with_name(announcement(files.program.name)).read_bytes()
        build = ShippedBuild(**json.loads(text))
        if build.target != build_target(options):
            return None
        with Path(build.file).open("rb") as stream:
            stream.seek(build.start)
            data = stream.read(build.size_bytes)
    except (OSError, TypeError, ValueError):
        return None
    return data if hashlib.sha256(data).hexdigest() == build.sha256 else None


def _write(folder: Path, compiled: CompiledModel) -> None:
    blob = compiled.export_model().getbuffer()
    (folder / BLOB_NAME).write_bytes(blob)
    (folder / _DIGEST).write_text(hashlib.sha256(blob).hexdigest())


def _read(folder: Path) -> bytes | None:
    """The serialized compiled model, or None if it is missing or damaged."""
    try:
        data, digest = (folder / BLOB_NAME).read_bytes(), (folder / _DIGEST).read_text()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == digest else None


def _is_whole(folder: Path) -> bool:
    return _read(folder) is not None
