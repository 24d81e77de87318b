# SPDX-License-Identifier: Apache-2.0
"""Zip files and folders of strangers: nothing outside of the bundle is read or written."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from hpip.errors import ModelFormatError
from hpip.model.bundle_archive import MANIFEST_NAME, is_bundle, open_archive


def _zip(path: Path, entries: list[tuple[str, bytes]], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/b.onnx", "..\\evil", "a\\b"])
def test_a_part_that_leaves_the_bundle_is_refused(tmp_path: Path, name: str) -> None:
    path = _zip(tmp_path / "b.hpip", [(MANIFEST_NAME, b"{}"), (name, b"x")])
    with pytest.raises(ModelFormatError, match="without folders") as caught:
        open_archive(path)
    assert str(path) in str(caught.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_parts_of_one_name_are_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "b.hpip", [(MANIFEST_NAME, b"{}"), ("a", b"x"), ("a", b"y")])
    with pytest.raises(ModelFormatError, match="two parts of this name"):
        open_archive(path)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = _zip(tmp_path / "b.hpip", [(MANIFEST_NAME, b"\0" * (64 << 20))], zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelFormatError, match="not compressed"):
        open_archive(path)


def test_too_many_parts_are_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "b.hpip", [(f"part{n}", b"") for n in range(200)])
    with pytest.raises(ModelFormatError, match="at most 100 parts"):
        open_archive(path)


def test_a_size_that_lies_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "b.hpip", [(MANIFEST_NAME, b"{}" * 50)])
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    for field in (20, 24):  # compressed and uncompressed size in the central directory
        data[entry + field : entry + field + 4] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(ModelFormatError, match="not within the file"):
        open_archive(path)


def test_an_encrypted_part_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "b.hpip", [(MANIFEST_NAME, b"{}")])
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(ModelFormatError, match="not encrypted"):
        open_archive(path)


@pytest.mark.parametrize("data", [b"", b"no zip file", b"PK\x05\x06" + b"\xff" * 18])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "b.hpip"
    path.write_bytes(data)
    with pytest.raises(ModelFormatError, match="expected a bundle"):
        open_archive(path)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = _zip(tmp_path / "whole.hpip", [(MANIFEST_NAME, b"{}"), ("a", b"x" * 100)]).read_bytes()
    path = tmp_path / "b.hpip"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFormatError):
            open_archive(path).read("a")


def test_a_zip_file_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    path = _zip(tmp_path / "b.hpip", [("readme.txt", b"")])
    with pytest.raises(ModelFormatError, match=f"zip file without {MANIFEST_NAME}"):
        open_archive(path)


def test_a_folder_with_a_manifest_is_a_bundle(tmp_path: Path) -> None:
    assert not is_bundle(tmp_path)
    (tmp_path / MANIFEST_NAME).write_bytes(b"{}")
    (tmp_path / "subfolder").mkdir()
    assert is_bundle(tmp_path)
    found = open_archive(tmp_path)
    assert set(found.parts) == {MANIFEST_NAME}
    with pytest.raises(ModelFormatError, match="subfolder: it is missing"):
        found.read("subfolder")


def test_a_linked_part_is_where_its_target_is(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / "0123"
    blob.parent.mkdir()
    blob.write_bytes(b"{}")
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / MANIFEST_NAME).symlink_to(blob)
    assert open_archive(folder).part(MANIFEST_NAME).file == blob
