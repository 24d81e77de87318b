# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hpip.bench import environment as place
from hpip.bench.peak import sgemm_gflops


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name which answers as NVIDIA's does."""
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\n"
        'case "$1" in *compute-apps*) printf "11, 100 MiB\\n12, 50 MiB\\n99, 7 MiB\\n";;\n'
        '*) echo "NVIDIA H200, 570.1, 143771 MiB";; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("nvidia_smi")
def test_device_memory_is_that_of_the_processes() -> None:
    assert place.device_memory_bytes({11, 12}) == 150 * 2**20
    assert place.device_memory_bytes({13}) is None
    assert place.gpus() == ["NVIDIA H200, 570.1, 143771 MiB"]


def test_without_a_gpu_there_is_nothing_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert place.gpus() == []
    assert place.device_memory_bytes({1}) is None


def test_the_environment_is_json_and_the_same_twice() -> None:
    first, second = place.environment(), place.environment()
    assert json.loads(json.dumps(first)) == first
    second["load_average"] = [77.0, 1.0, 1.0]
    assert place.same_environment(first, second)
    assert place.differences(first, second) == []
    assert first["packages"]["hpip"]
    other = {**second, "packages": {**second["packages"], "numpy": "0"}}
    assert not place.same_environment(first, other)
    assert len(place.differences(first, other)) == 1


def test_the_roof_is_a_number_also_beside_files_named_like_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("random.py", "numpy.py"):
        (tmp_path / name).write_text("raise SystemExit('the user's file was imported')\n")
    monkeypatch.chdir(tmp_path)
    gflops = sgemm_gflops(1)
    assert gflops is not None
    assert gflops > 0
