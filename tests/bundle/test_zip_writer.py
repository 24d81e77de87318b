# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import zipfile
from pathlib import Path

from hpip.bundle.zip_writer import write_zip
from hpip.model.bundle_archive import MANIFEST_NAME, open_archive


def _write(folder: Path, name: str, weights: bytes, parts: dict[str, bytes]) -> Path:
    source = folder / "weights.bin"
    source.write_bytes(weights)
    write_zip(folder / name, source, "inference.pdiparams", parts)
    return folder / name


def test_parts_are_read_back_and_stored_uncompressed(tmp_path: Path) -> None:
    parts = {MANIFEST_NAME: b"{}", "a.onnx": b"\x00" * 10_000}
    path = _write(tmp_path, "b.hpip", b"weights", parts)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["inference.pdiparams", MANIFEST_NAME, "a.onnx"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    found = open_archive(path)
    assert {name: found.read(name) for name in parts} == parts
    assert found.read("inference.pdiparams") == b"weights"


def test_weights_start_at_a_page(tmp_path: Path) -> None:
    path = _write(tmp_path, "b.hpip", b"weights", {MANIFEST_NAME: b"{}"})
    part = open_archive(path).part("inference.pdiparams")
    assert part.start % 4096 == 0
    assert path.read_bytes()[part.start : part.start + part.size_bytes] == b"weights"


def test_equal_parts_give_equal_bytes(tmp_path: Path) -> None:
    parts = {MANIFEST_NAME: b"{}"}
    first, second = (_write(tmp_path, name, b"w", parts) for name in ("a.hpip", "b.hpip"))
    assert first.read_bytes() == second.read_bytes()
