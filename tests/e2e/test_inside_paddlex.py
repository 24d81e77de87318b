# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1] / "paddlex"


@pytest.mark.slow
@pytest.mark.skipif(util.find_spec("paddlex") is not None, reason="tests/paddlex runs right here")
def test_hpip_inside_the_newest_paddlex() -> None:
    made = subprocess.run(
        [sys.executable, TESTS / "make_env.py"], stdout=subprocess.PIPE, text=True, check=True
    )
    done = subprocess.run(
        [made.stdout.strip(), "-m", "pytest", "-q", TESTS],
        cwd=TESTS.parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
