# SPDX-License-Identifier: Apache-2.0
"""The C++ library is built and installed, and the example is built against it, out of tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hpip
from tests.conftest import ROOT

EXAMPLE = ROOT / "examples" / "cpp"
COINS = ROOT / "hpip" / "demo" / "coins.png"
SCENE = ROOT / "hpip" / "demo" / "scene_0015.jpg"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler"),
]


def _cmake() -> str:
    """CMake from the path or beside this Python."""
    found = shutil.which("cmake", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip("no CMake")
    return found


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the library is installed."""
    folder = tmp_path_factory.mktemp("library")
    build, target = folder / "build", folder / "prefix"
    _run(_cmake(), "-S", ROOT, "-B", build, "-DCMAKE_BUILD_TYPE=Release", "-DHPIP_WERROR=ON")
    _run(_cmake(), "--build", build, "--parallel")
    _run(_cmake(), "--install", build, "--prefix", target)
    return target


def test_only_the_public_interface_is_installed(prefix: Path) -> None:
    headers = {path.name for path in (prefix / "include" / "hpip").iterdir()}
    assert headers == {path.name for path in (ROOT / "csrc" / "include" / "hpip").iterdir()}
    (library,) = prefix.glob("lib*/libhpip.so")
    version = hpip.__version__
    assert library.resolve().name == f"libhpip.so.{version}"
    names = _run("nm", "--dynamic", "--defined-only", "--demangle", library)
    for name in ("hpip::encode_rle", "hpip::preprocess<float>", "hpip::multiclass_nms"):
        assert name in names
    assert "hpip::avx2::" not in names
    assert "hpip::scalar::" not in names


@pytest.mark.parametrize("shared", ["OFF", "ON"])
@pytest.mark.parametrize("picture", [COINS, SCENE], ids=["coins", "scene"])
def test_the_example_finds_what_hpip_finds(
    prefix: Path, tmp_path: Path, shared: str, picture: Path
) -> None:
    build, tensors = tmp_path / "build", tmp_path / "tensors"
    _run(
        *(_cmake(), "-S", EXAMPLE, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}"),
        *("-DCMAKE_BUILD_TYPE=Release", f"-DHPIP_EXAMPLE_SHARED={shared}"),
        "-DCMAKE_CXX_FLAGS=-Werror",
    )
    _run(_cmake(), "--build", build)
    _run(sys.executable, "-W", "ignore", EXAMPLE / "write_tensors.py", picture, tensors, "0.3")
    printed = _run(build / "segment", tensors / "picture.ppm", tensors, "0.3")
    found = [json.loads(line) for line in printed.splitlines()]

    with hpip.create_predictor("demo") as predictor:
        (expected,) = predictor.predict(str(picture), 0.3)
    assert [one["class_id"] for one in found] == expected.class_ids.tolist()
    np.testing.assert_allclose([one["score"] for one in found], expected.scores, atol=1e-4)
    boxes = [one["box_xyxy"] for one in found]
    np.testing.assert_allclose(boxes, expected.boxes_xyxy, atol=1e-2)
    for one, right in zip(found, expected.rle, strict=True):
        assert (tuple(one["offset_yx"]), tuple(one["rle"]["size"])) == (
            right.offset_yx,
            right.crop_hw,
        )
        mask = hpip.ops.decode_rle(one["rle"]["counts"].encode(), right.crop_hw)
        assert np.count_nonzero(mask != hpip.ops.decode_rle(right.counts, right.crop_hw)) <= 3
