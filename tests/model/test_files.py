# SPDX-License-Identifier: Apache-2.0
"""Where a model lies, and from which folder it is used, does not matter."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hpip.model.official import demo_images, find_model
from hpip.model.spec import load_model_spec

DEMO = Path(demo_images()[0]).parent
NAMES = ("inference.json", "inference.pdiparams", "inference.yml")


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "my_model"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(DEMO / name, folder)
    return folder


@pytest.mark.parametrize("given", ["my_model", "./my_model", "sub/../my_model", "my_model/"])
def test_a_relative_folder_is_resolved_at_once(
    model_dir: Path, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model_dir.parent / "sub").mkdir()
    monkeypatch.chdir(model_dir.parent)
    for folder in (given, find_model("any", given)):
        spec = load_model_spec(folder)
        assert spec.model_dir.is_absolute()
        monkeypatch.chdir(model_dir.parent / "sub")
        for path in (spec.files.program, spec.files.params):
            assert path.is_absolute()
            assert path.is_file()
        monkeypatch.chdir(model_dir.parent)


def test_weights_of_a_model_hub_lie_where_the_link_leads(model_dir: Path, tmp_path: Path) -> None:
    """As in a hub's cache: the snapshot's files are links to blobs without a suffix."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        shutil.move(model_dir / name, blobs / f"{number:040x}")
        (snapshot / name).symlink_to(Path("..") / ".." / "blobs" / f"{number:040x}")
    files = load_model_spec(snapshot).files
    assert files.program == snapshot / "inference.json"
    assert files.params == blobs / f"{1:040x}"
