# SPDX-License-Identifier: Apache-2.0
"""Compiles the graphs of a bundle with OpenVINO, to be shipped in it."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

from hpip.backends.base import SessionOptions
from hpip.backends.openvino import OpenVinoBackend
from hpip.backends.openvino_builds import BLOB_NAME, build_target
from hpip.common.devices import Device
from hpip.inference.tuning.candidates import TuningRequest, candidates
from hpip.model.bundle_manifest import TARGET_KEY, Manifest
from hpip.model.spec import ModelSpec


def openvino_builds(
    spec: ModelSpec, manifest: Manifest, threads: int
) -> tuple[Manifest, dict[str, bytes]]:
    """The compiled models of a bundle's segments, and the manifest that names them.

    Args:
        spec: the bundle.
        manifest: its manifest, without builds.
        threads: CPU threads; a compiled model does not depend on them.

    Raises:
        BackendUnavailableError, BackendError: OpenVINO is missing, or can't compile a segment.
    """
    assert spec.bundle is not None
    request = TuningRequest(spec, Device("cpu"), threads, backend=OpenVinoBackend.name)
    (engine,) = candidates(request)
    options = SessionOptions(engine.device, threads, settings=engine.settings)
    builds: dict[str, str | dict[str, str]] = {}
    parts: dict[str, bytes] = {}
    for segment in spec.bundle.compiled.segments:
        with tempfile.TemporaryDirectory(prefix="hpip-openvino-") as folder:
            build_dir = Path(folder)
            OpenVinoBackend().open(segment.files, replace(options, build_dir=build_dir)).close()
            (blob,) = build_dir.glob(f"*/{BLOB_NAME}")
            name = f"openvino-{segment.files.program.stem}.blob"
            parts[name] = blob.read_bytes()
            builds[segment.files.program.name] = name
    builds[TARGET_KEY] = build_target(options)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    return replace(manifest, builds=builds, digests={**manifest.digests, **digests}), parts
