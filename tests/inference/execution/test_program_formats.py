# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from hpip.backends.base import SessionOptions
from hpip.backends.registry import backend_named
from hpip.common.cache import Cache
from hpip.common.devices import Device
from hpip.errors import BackendUnavailableError, GraphRewriteError, ModelFormatError
from hpip.inference.execution.program_formats import artifact
from hpip.types import ModelFiles
from tests.graph.programs import two_branch_net


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    pytest.importorskip("onnx", reason="onnx is not installed")
    folder = two_branch_net(tmp_path)
    return ModelFiles(folder / "inference.json", folder / "inference.pdiparams")


def test_paddle_takes_the_files_as_they_are(files: ModelFiles, tmp_path: Path) -> None:
    assert artifact(files, "paddle", cache=Cache(tmp_path / "cache")) == files
    assert not (tmp_path / "cache").exists()


def test_a_program_is_translated_once(files: ModelFiles, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    first = artifact(files, "onnx", cache=cache)
    written = first.program.stat().st_mtime_ns
    assert first.params == files.params
    assert artifact(files, "onnx", cache=cache) == first
    assert first.program.stat().st_mtime_ns == written
    assert [entry.title for entry in cache.entries()] == ["inference in ONNX"]


def test_a_damaged_entry_is_made_anew(files: ModelFiles, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    first = artifact(files, "onnx", cache=cache).program
    content = first.read_bytes()
    first.write_bytes(content[:-10])
    assert artifact(files, "onnx", cache=cache).program.read_bytes() == content


def test_equal_programs_of_two_folders_keep_their_own_weights(
    files: ModelFiles, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    other = tmp_path / "other"
    other.mkdir()
    program = Path(shutil.copy(files.program, other))
    content = bytearray(files.params.read_bytes())
    content[-16:] = np.full(4, 7, np.float32).tobytes()
    (other / files.params.name).write_bytes(content)
    twin = ModelFiles(program, other / files.params.name)
    cache = Cache(tmp_path / "cache")
    mine, theirs = artifact(files, "onnx", cache=cache), artifact(twin, "onnx", cache=cache)
    assert mine.program == theirs.program
    image = np.ones((1, 3, 8, 8), np.float32)
    answers = []
    for chosen in (mine, theirs):
        session = backend_named("onnxruntime").open(chosen, SessionOptions(Device("cpu"), 1))
        answers.append(session.run({"image": image})[1])
        session.close()
    assert np.abs(answers[0] - answers[1]).max() > 0.1


def test_what_has_no_counterpart_is_named(demo_files: ModelFiles, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    with pytest.raises(GraphRewriteError, match=r"multiclass_nms3 \(1\)"):
        artifact(demo_files, "onnx", cache=Cache(tmp_path / "cache"))


def test_missing_and_old_programs_are_format_errors(files: ModelFiles, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    with pytest.raises(ModelFormatError, match="can't read the program"):
        artifact(ModelFiles(tmp_path / "gone.json", files.params), "onnx", cache=cache)
    old = tmp_path / "inference.pdmodel"
    old.write_bytes(b"\x08\x01")
    with pytest.raises(ModelFormatError, match="format of Paddle 2"):
        artifact(ModelFiles(old, files.params), "onnx", cache=cache)


def test_without_the_package_it_says_what_to_install(
    files: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(BackendUnavailableError, match="pip install"):
        artifact(files, "onnx", cache=Cache(tmp_path / "cache"))
