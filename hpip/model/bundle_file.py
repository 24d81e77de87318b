# SPDX-License-Identifier: Apache-2.0
"""Reads and validates a bundle: a model prepared by `hpip export`, which runs without Paddle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpip.backends.openvino_builds import ShippedBuild, announcement
from hpip.common.cache import CACHE_VARIABLE, Cache, content_key
from hpip.common.digest import region_digest
from hpip.errors import ModelFormatError, SaveError
from hpip.graph.compile import CompiledModel
from hpip.graph.onnx_weights import move_weights
from hpip.graph.parts import plan_from_json
from hpip.model.bundle_archive import (
    MANIFEST_NAME,
    BundleArchive,
    BundlePart,
    damaged,
    open_archive,
)
from hpip.model.bundle_manifest import TARGET_KEY, Manifest, NewerFormatError, parse_manifest
from hpip.model.bundle_references import References, parse_references
from hpip.model.files import CONFIG_NAME, PARAMS_NAME

REFERENCES_NAME = "references.json"
# Increment when the graphs that are unpacked to the cache change.
_UNPACK_VERSION = "1"


@dataclass(frozen=True)
class Bundle:
    """A bundle whose parts are whole.

    Attributes:
        path: the zip file or the folder.
        manifest: its description.
        compiled: the truncated graph, whose segments are ONNX models.
        weights: where the weights are.
        config: the model's `inference.yml`.
        reference_data: the reference results as they are stored.
    """

    path: Path
    manifest: Manifest
    compiled: CompiledModel
    weights: BundlePart
    config: bytes
    reference_data: bytes

    def references(self) -> References:
        """The reference results of plain Paddle.

        Raises:
            ModelFormatError: they are damaged.
        """
        try:
            return parse_references(self.reference_data)
        except ValueError as error:
            raise damaged(self.path, REFERENCES_NAME, str(error)) from error


def read_bundle(path: Path, *, cache: Cache | None = None) -> Bundle:
    """Read a bundle, and unpack its graphs to the cache; the weights stay in the bundle.

    All bytes are compared with the digests in the manifest, the weights once as long as the file
    does not change.

    Args:
        path: absolute path of a zip file or a folder.
        cache: where the graphs are stored; None for the user's cache.

    Raises:
        ModelFormatError: the bundle is damaged, or of a later version of hpip.
        SaveError: neither the cache nor a temporary folder can be written.
    """
    cache = cache or Cache()
    archive = open_archive(path)
    content = archive.read(MANIFEST_NAME)
    try:
        manifest = parse_manifest(content)
    except NewerFormatError as error:
        raise ModelFormatError(f"bundle {path}: {error}") from error
    except ValueError as error:
        raise damaged(path, MANIFEST_NAME, str(error)) from error
    builds = manifest.build_parts
    always = (CONFIG_NAME, PARAMS_NAME, REFERENCES_NAME)
    for name in (*always, *manifest.programs, *builds.values()):
        if name not in manifest.digests:
            raise damaged(path, MANIFEST_NAME, f"it has no digest of {name}")
    parts = {
        name: _checked(archive, manifest, name)
        for name in manifest.digests
        if name not in (PARAMS_NAME, *builds.values())
    }
    weights = archive.part(PARAMS_NAME)
    try:
        found = region_digest(weights.file, weights.start, weights.size_bytes, cache=cache)
    except OSError as error:
        raise damaged(path, PARAMS_NAME, str(error)) from error
    if found != manifest.digests[PARAMS_NAME]:
        raise damaged(path, PARAMS_NAME, "its content differs from the digest in the manifest")
    # Builds are looked for where the bundle is, weights beside each other by name.
    place = str(weights.file) if builds else weights.file.name
    key = content_key("bundle", _UNPACK_VERSION, content, place, str(weights.start))
    graphs = {name: parts[name] for name in manifest.programs}
    notes = {
        announcement(name): _shipped_build(archive, manifest, part).announce()
        for name, part in builds.items()
    }
    folder = _unpack(path, graphs, notes, weights, cache, key)
    compiled = CompiledModel(
        plan_from_json(manifest.plan, folder, weights.file),
        manifest.graph_outputs,
        manifest.masks,
        manifest.max_batch_size,
        manifest.summary,
        (),
        key,
    )
    return Bundle(path, manifest, compiled, weights, parts[CONFIG_NAME], parts[REFERENCES_NAME])


def _unpack(
    path: Path,
    graphs: Mapping[str, bytes],
    notes: Mapping[str, bytes],
    weights: BundlePart,
    cache: Cache,
    key: str,
) -> Path:
    """The folder in the cache with the graphs, which refer to the weights in the bundle."""
    if (loaded := cache.load(key)) is not None:
        return loaded[0]
    moved = {name: _moved(path, name, graph, weights) for name, graph in graphs.items()}
    try:
        return cache.store(key, {"title": f"{path.name}, graphs"}, {**moved, **notes})
    except OSError as error:
        raise SaveError(
            f"the graphs of {path} can't be written to the cache or a temporary folder: {error}. "
            f"Free disk space, or set {CACHE_VARIABLE} to a writable folder."
        ) from error


def _shipped_build(archive: BundleArchive, manifest: Manifest, name: str) -> ShippedBuild:
    """A compiled model, whose content is compared with its digest when it is used."""
    part = archive.part(name)
    return ShippedBuild(
        str(part.file),
        part.start,
        part.size_bytes,
        manifest.digests[name],
        manifest.builds[TARGET_KEY],
    )


def _moved(path: Path, name: str, graph: bytes, weights: BundlePart) -> bytes:
    """A graph that reads the weights where they are."""
    try:
        return move_weights(
            graph,
            location=PARAMS_NAME,
            new_location=weights.file.name,
            start=weights.start,
            size_bytes=weights.size_bytes,
        )
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise damaged(path, name, str(error)) from error


def _checked(archive: BundleArchive, manifest: Manifest, name: str) -> bytes:
    """The content of a part that fits into memory, compared with its digest."""
    data = archive.read(name)
    if hashlib.sha256(data).hexdigest() != manifest.digests[name]:
        raise damaged(archive.path, name, "its content differs from the digest in the manifest")
    return data
