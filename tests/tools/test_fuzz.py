# SPDX-License-Identifier: Apache-2.0
"""A few seconds of every fuzzer, so that the harnesses keep compiling and stay clean."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "compiler"), [("libfuzzer", "clang++"), ("replay", "g++")])
def test_fuzzers_find_nothing(kind: str, compiler: str) -> None:
    if not (shutil.which(compiler) and shutil.which("cmake")):
        pytest.skip(f"needs {compiler} and cmake")
    done = subprocess.run(
        [ROOT / "tools" / "fuzz.sh", "2"],
        env={**os.environ, "FUZZER": kind, "CXX": compiler},
        capture_output=True,
        text=True,
        check=False,
    )
    if kind == "libfuzzer" and "clang_rt" in done.stderr:
        pytest.skip("this Clang comes without libFuzzer: install libclang-rt-*-dev")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count(": clean") == len(list((ROOT / "csrc" / "fuzz").glob("fuzz_*.cc")))
