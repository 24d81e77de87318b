# SPDX-License-Identifier: Apache-2.0
"""The same bits from every instruction set and thread count; HPIP_FORCE_ISA."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpip import ops
from tests.kernels import isa_digests

HERE = Path(__file__).parent
SUPPORTED = ops.build_info()["supported_isas"].split(",")


def run_with_isa(isa: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "HPIP_FORCE_ISA": isa},
        # Not the root: an unpacked sdist's hpip/ without a module would hide the installed wheel.
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )


@functools.cache
def own_digests(threads: int) -> dict[str, str]:
    return isa_digests.digests(threads)


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512", "neon"])
def test_every_instruction_set_gives_the_same_bits(isa: str) -> None:
    if isa not in SUPPORTED:
        pytest.skip(f"this build and processor support {', '.join(SUPPORTED)} only")
    done = run_with_isa(isa, "isa_digests.py")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["isa"] == isa
    assert report["digests"] == own_digests(1)


def test_every_thread_count_gives_the_same_bits() -> None:
    for threads in (2, 7):
        assert own_digests(threads) == own_digests(1)


@pytest.mark.parametrize("name", ["sse9", "AVX2", "scalar,avx2"])
def test_refuses_an_unknown_instruction_set(name: str) -> None:
    done = run_with_isa(name, "-c", "import hpip.ops")
    assert done.returncode != 0
    assert f"HPIP_FORCE_ISA: expected one of {', '.join(SUPPORTED)}" in done.stderr
    assert f"received '{name}'" in done.stderr


def test_an_empty_choice_is_no_choice() -> None:
    done = run_with_isa("", "-c", "from hpip import ops; print(ops.build_info()['isa'])")
    assert done.stdout.strip() == SUPPORTED[-1]


def test_build_info_is_consistent() -> None:
    info = ops.build_info()
    assert info["isa"] in SUPPORTED
    assert SUPPORTED[0] == "scalar"
