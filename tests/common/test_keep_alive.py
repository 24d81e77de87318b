# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from hpip.common.keep_alive import keep_alive
class Engine:
    def __del__(self):
        print("destroyed")
engines = [Engine()]
if sys.argv[1] == "kept":
    keep_alive(engines)
"""


@pytest.mark.parametrize(("name", "output"), [("kept", ""), ("not kept", "destroyed\n")])
def test_what_is_kept_survives_the_end_of_the_interpreter(name: str, output: str) -> None:
    command = [sys.executable, "-c", CODE, name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == output
