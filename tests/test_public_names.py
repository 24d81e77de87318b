# SPDX-License-Identifier: Apache-2.0
"""Every name that the documents give to users can be imported where they say it is."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module, util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENGINES = ("paddle", "onnxruntime", "openvino", "tensorrt", "cv2", "PIL", "paddlex", "typer")
PUBLIC = {
    "hpip": (
        "HpipError",
        "InstanceSegPipeline",
        "InstanceSegPredictor",
        "InstanceSegResult",
        "Predictor",
        "__version__",
        "create_pipeline",
        "create_predictor",
        "disable_paddlex",
        "enable_paddlex",
        "export_model",
        "ops",
        "set_up_logging",
    ),
    "hpip.backends.registry": ("backend_named", "backend_names", "register_backend"),
    "hpip.errors": (
        "BackendError",
        "BackendUnavailableError",
        "DatasetError",
        "FailedInputsError",
        "GraphRewriteError",
        "HpipError",
        "InvalidInputError",
        "ModelFormatError",
        "ModelNotFoundError",
        "SaveError",
    ),
    "hpip.evaluation": ("CocoDataset", "Evaluation", "evaluate", "load_dataset"),
    "hpip.inputs.fetch": ("UrlPolicy",),
    "hpip.ops": (
        "build_info",
        "decode_rle",
        "encode_masks",
        "encode_rle",
        "merge_rle",
        "multiclass_nms",
        "normalize",
        "paste_masks",
        "preprocess",
        "resize",
        "rle_area",
        "rle_iou",
        "rle_to_bbox",
        "roi_align",
        "threshold_masks",
    ),
    "hpip.pipeline": ("InstanceSegPipeline", "create_pipeline"),
    "hpip.predictor": ("Predictor", "create_predictor"),
}
COMMANDS = ("hpip", "hpip.bench", "hpip.paddlex")


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in PUBLIC.items() for name in names]
)
def test_a_public_name_is_where_it_was(module: str, name: str) -> None:
    assert hasattr(import_module(module), name)


@pytest.mark.parametrize("module", ["hpip.pipeline", "hpip.predictor"])
def test_the_modules_of_the_first_release_hand_on_the_same_objects(module: str) -> None:
    import hpip

    old = import_module(module)
    assert sorted(old.__all__) == sorted(PUBLIC[module])
    assert all(getattr(old, name) is getattr(hpip, name) for name in old.__all__)


@pytest.mark.parametrize("module", COMMANDS)
def test_a_documented_command_is_a_module(module: str) -> None:
    spec = util.find_spec(module)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = util.find_spec(f"{module}.__main__")
    assert spec is not None


def _documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _documented(text: str) -> Iterator[str]:
    """Dotted names: `hpip.x.y` anywhere in Python's form, and what imports in examples name."""
    for module, names in re.findall(r"^from (hpip[\w.]*) import ([\w, ]+)", text, re.MULTILINE):
        yield from (f"{module}.{name.split()[0]}" for name in names.split(",") if name.strip())
    yield from re.findall(r"^import (hpip[\w.]*)", text, re.MULTILINE)
    yield from re.findall(r"`(?:import )?(hpip(?:\.[A-Za-z_]\w*)+)[`(]", text)


DOCUMENTED = sorted(
    {name for path in _documents() for name in _documented(path.read_text("utf-8"))}
)


# Importing this module enables hpip in PaddleX, which other tests must not find done.
IMPORTED_IN_A_CHILD = ("hpip.integrations.paddlex",)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_name_in_the_documents_exists(name: str) -> None:
    if name in IMPORTED_IN_A_CHILD:
        assert util.find_spec(name) is not None
        return
    _resolve(name)


def _resolve(name: str) -> object:
    """The object behind a dotted name: its longest module, then attributes."""
    words = name.split(".")
    found: object = import_module(words[0])
    for end in range(1, len(words)):
        if not hasattr(found, words[end]):
            import_module(".".join(words[: end + 1]))
        found = getattr(found, words[end])
    return found


def test_the_documents_name_something() -> None:
    assert {"hpip.create_pipeline", "hpip.inputs.fetch.UrlPolicy"} <= set(DOCUMENTED)


def test_importing_hpip_imports_no_engine() -> None:
    code = f"import sys, hpip; print([m for m in {ENGINES!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_these() -> None:
    import hpip

    assert tuple(sorted(hpip.__all__)) == PUBLIC["hpip"]


def test_names_are_imported_when_they_are_first_used() -> None:
    code = "import hpip; print(hpip.ops.rle_area(hpip.ops.encode_rle([[1, 1]])))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2"


def test_an_unknown_name_is_an_attribute_error() -> None:
    import hpip

    with pytest.raises(AttributeError, match="nonsense"):
        hpip.nonsense  # noqa: B018


@pytest.mark.parametrize("module", ["hpip.choice", "hpip.runner", "hpip.tuning.tune"])
def test_an_old_private_path_is_pythons_own_import_error(module: str) -> None:
    with pytest.raises(ImportError, match="No module named"):
        import_module(module)
