# SPDX-License-Identifier: Apache-2.0
"""Bundles for tests: the demo model's parts as a zip file, with changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpip.bundle.zip_writer import write_zip
from hpip.model.bundle_archive import MANIFEST_NAME
from hpip.model.files import PARAMS_NAME

DEMO = Path(__file__).resolve().parents[1] / "hpip" / "demo"
PARTS = (MANIFEST_NAME, "inference.yml", "references.json", "trunk.onnx")


def demo_parts() -> dict[str, bytes]:
    """All parts of the demo model's bundle but its weights."""
    return {name: (DEMO / name).read_bytes() for name in PARTS}


def write_demo_bundle(path: Path, parts: dict[str, bytes] | None = None) -> Path:
    """Write the demo model's bundle as a zip file, with these parts beside its weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_zip(path, DEMO / PARAMS_NAME, PARAMS_NAME, demo_parts() if parts is None else parts)
    return path


def with_manifest(change: Callable[[dict[str, Any]], None]) -> dict[str, bytes]:
    """The demo model's parts with another manifest."""
    parts = demo_parts()
    record = json.loads(parts[MANIFEST_NAME])
    change(record)
    return {**parts, MANIFEST_NAME: json.dumps(record).encode()}


def with_part(name: str, data: bytes) -> dict[str, bytes]:
    """The demo model's parts with another part, whose digest the manifest has."""

    def change(record: dict[str, Any]) -> None:
        record["digests"][name] = hashlib.sha256(data).hexdigest()

    return {**with_manifest(change), name: data}
