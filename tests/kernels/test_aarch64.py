# SPDX-License-Identifier: Apache-2.0
"""The kernels cross-built for AArch64 and run under QEMU: the same bits as here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("cmake", "ninja", "g++", "aarch64-linux-gnu-g++", "qemu-aarch64")


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def built(folder: Path, *options: str) -> Path:
    common = ("-DHPIP_TESTS=ON", "-DHPIP_WERROR=ON", "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "-G", "Ninja", "-S", ROOT, "-B", folder, *common, *options)
    run("cmake", "--build", folder)
    return folder


@pytest.mark.slow
def test_every_target_gives_the_same_bits_on_aarch64(tmp_path: Path) -> None:
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    own = run(built(tmp_path / "own") / "check_digests", HPIP_FORCE_ISA="scalar")
    cross = built(
        tmp_path / "aarch64",
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++",
        "-DCMAKE_EXE_LINKER_FLAGS=-static",
    )
    assert len(own.splitlines()) >= 9
    for isa in ("scalar", "neon"):
        assert run("qemu-aarch64", cross / "check_digests", HPIP_FORCE_ISA=isa) == own
    for check in ("check_ops", "check_memory", "check_dcheck"):
        run("qemu-aarch64", cross / check)
