# SPDX-License-Identifier: Apache-2.0
"""Directories and patterns: what is found in them, and that links and results are no trap."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from hpip.errors import InvalidInputError
from hpip.inputs.find_files import find_files
from hpip.inputs.sources import FileInputs, count_files, iter_sources
from tests.source_images import png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """a.png, sub/b.png and sub/deep/c.png."""
    top = tmp_path / "photos"
    for name in ("a.png", "sub/b.png", "sub/deep/c.png"):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png())
    return top


def found(text: Path | str, top: Path, **options: Path) -> list[str]:
    return [os.path.relpath(file.path, top) for file in find_files(str(text), **options)]


ALL = ["a.png", "sub/b.png", "sub/deep/c.png"]


@pytest.mark.parametrize("pattern", ["", "**/*.png", "**", "**/**/*.png", "**/*"])
def test_links_that_lead_back_up_are_followed_once(folder: Path, pattern: str) -> None:
    """Python's own `**` goes through two such links 2^40 times."""
    (folder / "self").symlink_to(".")
    (folder / "sub" / "up").symlink_to("../")
    (folder / "sub" / "deep" / "top").symlink_to(folder)
    assert found(folder / pattern, folder) == ALL


def test_a_folder_of_stars_reaches_each_file_once(folder: Path) -> None:
    (folder / "self").symlink_to(".")
    assert found(folder / "*/*.png", folder) == ["self/a.png", "sub/b.png"]
    assert found(folder / "*/*/*.png", folder) == ["self/self/a.png", "self/sub/b.png", *ALL[2:]]


def test_linked_folders_are_searched(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "links"
    other.mkdir()
    (other / "images").symlink_to(folder)
    (other / "again").symlink_to(folder / "sub")
    names = found(other, other)
    assert sorted(Path(name).name for name in names) == ["a.png", "b.png", "c.png"]
    assert found(f"{other}/**/*.png", other) == names
    assert count_files([str(other)]) == 3


def test_linked_files_are_inputs_of_their_own(folder: Path) -> None:
    (folder / "link.png").symlink_to("a.png")
    assert found(folder, folder) == ["a.png", "link.png", "sub/b.png", "sub/deep/c.png"]


def test_hidden_files_are_inputs_only_where_they_are_named(folder: Path) -> None:
    """macOS writes `._photo.jpg`, which is no picture, beside every photo on foreign disks."""
    (folder / "._a.png").write_bytes(b"\0\5\26\7")
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails" / "t.png").write_bytes(png())
    for text in (folder, folder / "**/*.png", folder / "**"):
        assert found(text, folder) == ALL
    assert found(folder / "*.png", folder) == ["a.png"]
    assert found(folder / ".thumbnails", folder) == [".thumbnails/t.png"]
    assert found(folder / ".thumb*" / "*.png", folder) == [".thumbnails/t.png"]
    assert found(folder / "**/.t*/*.png", folder) == [".thumbnails/t.png"]
    assert found(folder / "._a.png", folder) == ["._a.png"]


def test_patterns_match_as_python_does_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "sub" / "note.dat").write_bytes(png())
    assert [file.path for file in find_files("**/*.png")] == ALL
    assert [file.path for file in find_files("./**/*.png")] == [f"./{name}" for name in ALL]
    assert [file.path for file in find_files("s*/**/c.png")] == ["sub/deep/c.png"]
    assert [file.path for file in find_files("**/deep/*")] == ["sub/deep/c.png"]
    assert [file.path for file in find_files("**/*.dat")] == ["sub/note.dat"]
    assert [file.path for file in find_files(f"{folder}/**/b.png")] == [f"{folder}/sub/b.png"]
    with pytest.raises(InvalidInputError, match="no file matches"):
        find_files("**/*.gif")


def test_the_output_folder_is_no_input(folder: Path) -> None:
    out = folder / "out"
    out.mkdir()
    (out / "a_res.png").write_bytes(png())
    for text in (folder, f"{folder}/**/*.png"):
        assert found(text, folder, output_folder=out) == ALL
        assert count_files([str(text)], output_folder=out) == 3
    sources = iter_sources(FileInputs((str(folder), str(folder / "a.png")), out))
    assert len(list(sources)) == 4


def test_results_beside_their_inputs_are_no_inputs(folder: Path) -> None:
    for name in ("a_res.png", "sub/b_res.png", "sub/odd_res.png"):
        (folder / name).write_bytes(png())
    for name in ("a_res.json", "sub/b_res.json"):
        (folder / name).write_text("{}")
    for text in (folder, f"{folder}/**/*.png"):
        names = found(text, folder, output_folder=folder)
        assert names == ["a.png", "sub/b.png", "sub/deep/c.png", "sub/odd_res.png"]
    assert len(found(folder, folder)) == 6


def test_subfolders_are_told(folder: Path) -> None:
    sources = list(iter_sources([str(folder), str(folder / "a.png")]))
    assert [source.subfolder for source in sources] == ["", "sub", "sub/deep", ""]


@pytest.mark.parametrize("kind", ["pipe", "device", "broken link"])
def test_what_is_no_file_fails_alone(folder: Path, kind: str) -> None:
    odd = folder / "odd.png"
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to("/dev/zero" if kind == "device" else "nowhere")
    sources = list(iter_sources(folder))
    assert [source.error is None for source in sources] == [True, False, True, True]


def test_a_path_that_the_encoding_of_the_system_lacks() -> None:
    (source,) = iter_sources(["photo\ud800.png"])
    assert isinstance(source.error, InvalidInputError)


@pytest.mark.parametrize("packed", [True, False])
def test_arrays_are_copied(packed: bool) -> None:
    """A caller may fill one buffer with frame after frame."""
    buffer = np.zeros((6, 8, 3 if packed else 4), np.uint8)

    def frames():
        for shade in (10, 20, 30):
            buffer[:] = shade
            yield buffer

    images = [source.image for source in iter_sources(frames())]
    assert [int(image[0, 0, 0]) for image in images if image is not None] == [10, 20, 30]
    (alone,) = iter_sources(buffer)
    buffer[:] = 99
    assert alone.image is not None
    assert (alone.image == 30).all()
