# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests inside a real PaddleX; tests/paddlex/README.md says how to make one."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import hpip

DEMO = Path(hpip.__file__).parent / "demo"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings of PaddleX's many dependencies are not ours to fix."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(scope="session", autouse=True)
def _offline_paddlex(_own_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """PaddleX asks the network for models and for a font; here it finds all on disk."""
    if util.find_spec("paddlex") is None:
        pytest.skip("PaddleX is not installed: see tests/paddlex/README.md")
    import matplotlib

    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "DISABLE_MODEL_SOURCE_CHECK"):
            patch.setenv(name, "True")
        patch.setenv("PADDLE_PDX_LOCAL_FONT_FILE_PATH", str(font))
        # The first engine that gives the right answer will do.
        patch.setenv("HPIP_TUNE_BUDGET_S", "0")
        patch.setenv("PADDLE_PDX_CACHE_HOME", str(tmp_path_factory.mktemp("paddlex")))
        yield


@pytest.fixture(scope="session")
def _imported(_offline_paddlex: None) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import paddlex
    module: ModuleType = paddlex
    return module


@pytest.fixture
def bare_paddlex(_imported: ModuleType) -> Iterator[ModuleType]:
    """PaddleX without hpip, before and after the test."""
    hpip.disable_paddlex()
    yield _imported
    hpip.disable_paddlex()


@pytest.fixture
def paddlex(bare_paddlex: ModuleType) -> ModuleType:
    """PaddleX with hpip enabled."""
    hpip.enable_paddlex()
    return bare_paddlex


@pytest.fixture(scope="session")
def has_engines(_imported: ModuleType) -> bool:
    """Whether this PaddleX has registries of engines: 3.5 and later."""
    return util.find_spec("paddlex.inference.models.engines") is not None


@pytest.fixture(scope="session")
def named_copy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str], Path]:
    """Copy a model under a name that PaddleX knows; it takes no other."""

    def copy(model_dir: Path, name: str) -> Path:
        folder = tmp_path_factory.mktemp("named") / name
        shutil.copytree(model_dir, folder)
        config = folder / "inference.yml"
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
        content["Global"]["model_name"] = name
        config.write_text(yaml.safe_dump(content), encoding="utf-8")
        return folder

    return copy


@pytest.fixture(scope="session")
def boxless_model_dir(
    tiny_classes_model_dir: Path, named_copy: Callable[[Path, str], Path]
) -> Path:
    """A model with SOLOv2's outputs that PaddleX takes for SOLOv2."""
    return named_copy(tiny_classes_model_dir, "SOLOv2")


def pipeline_config(model_name: str, model_dir: Path, **top_level: Any) -> dict[str, Any]:
    """The tutorial's pipeline file for a local model."""
    module = {
        "module_name": "instance_segmentation",
        "model_name": model_name,
        "model_dir": str(model_dir),
        "batch_size": 1,
        "threshold": 0.5,
    }
    return {
        "pipeline_name": "instance_segmentation",
        **top_level,
        "SubModules": {"InstanceSegmentation": module},
    }


@pytest.fixture
def demo_pipeline_file(tmp_path: Path) -> Path:
    path = tmp_path / "my_pipeline.yaml"
    path.write_text(yaml.safe_dump(pipeline_config("hpip-demo", DEMO)), encoding="utf-8")
    return path


def child_environment(**changes: str) -> Mapping[str, str]:
    """This process's environment for a child that imports the same hpip."""
    root = str(Path(hpip.__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **changes}
