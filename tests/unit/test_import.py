# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import pytest

ENGINES = ("paddle", "onnxruntime", "openvino", "tensorrt", "cv2", "PIL", "paddlex", "typer")


def test_importing_hpip_imports_no_engine() -> None:
    code = f"import sys, hpip; print([m for m in {ENGINES!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_these() -> None:
    import hpip

    assert sorted(hpip.__all__) == [
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
        "ops",
        "set_up_logging",
    ]
    assert all(hasattr(hpip, name) for name in hpip.__all__)


def test_names_are_imported_when_they_are_first_used() -> None:
    code = "import hpip; print(hpip.ops.rle_area(hpip.ops.encode_rle([[1, 1]])))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2"


def test_an_unknown_name_is_an_attribute_error() -> None:
    import hpip

    with pytest.raises(AttributeError, match="nonsense"):
        hpip.nonsense  # noqa: B018
