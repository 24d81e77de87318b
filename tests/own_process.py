# SPDX-License-Identifier: Apache-2.0
"""Runs code in a process of its own: forks, Ctrl-C and crashes must not reach the test runner."""

from __future__ import annotations

import subprocess
import sys


def run_code(code: str) -> subprocess.CompletedProcess[str]:
    """Run code to its end, without warnings; a hang is an error after 300 s."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
