# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.tiny_model import export_tiny_model

if TYPE_CHECKING:
    from hpip.types import ModelFiles

# How long an example takes says nothing on a shared machine or under a sanitizer.
settings.register_profile("hpip", deadline=None)
settings.load_profile("hpip")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled models of a test run go to a folder of its own, not to the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPIP_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        # Only the tests of tuning time engines, or tune in the background: it competes with others.
        patch.setenv("HPIP_TUNE_BACKGROUND", "0")
        patch.setenv("HPIP_TUNE_BUDGET_S", "0")
        yield


@pytest.fixture
def timed_tuning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tuning may take its usual time and compares the speed of engines, as it does for users."""
    monkeypatch.delenv("HPIP_TUNE_BUDGET_S", raising=False)


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache that no other test has written to, set as the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("HPIP_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def photos_dir() -> Path:
    """Real photographs; they lie beside the checkout on development machines only."""
    folder = SHARED / "photos"
    if not folder.is_dir():
        pytest.skip(f"real photos are not here: {folder}")
    return folder


@pytest.fixture(scope="session")
def zoo_source_dir() -> Path:
    """Recipes of the 15 official graphs; see `zoo_model` to get one as a model directory."""
    folder = SHARED / "zoo"
    if not folder.is_dir():
        pytest.skip(f"the model zoo is not here: {folder}")
    return folder


@pytest.fixture(scope="session")
def zoo_model(zoo_source_dir: Path) -> Callable[[str], Path]:
    """Name of an official model -> a model directory with its real graph and synthetic weights.

    Directories are made in build/zoo when first asked for (35 to 490 MB each) and stay there.
    """

    def model_dir(name: str) -> Path:
        folder = ROOT / "build" / "zoo" / name
        if not folder.is_dir():
            partial = folder.parent / ".partial"
            script = zoo_source_dir / "materialize.py"
            subprocess.run([sys.executable, script, partial, name], check=True)
            (partial / name).rename(folder)
        return folder

    return model_dir


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that finds red, green and blue areas and returns boxes; see tests/tiny_model.py."""
    return export_tiny_model(tmp_path_factory.mktemp("models") / "tiny-boxes")


@pytest.fixture(scope="session")
def tiny_classes_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with SOLOv2's outputs: no boxes."""
    return export_tiny_model(tmp_path_factory.mktemp("models") / "tiny-classes", layout="classes")


@pytest.fixture(scope="session")
def demo_files() -> ModelFiles:
    """The model that the package carries, untouched."""
    from hpip.types import ModelFiles

    folder = ROOT / "hpip" / "demo"
    return ModelFiles(folder / "inference.json", folder / "inference.pdiparams")
