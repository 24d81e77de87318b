# SPDX-License-Identifier: Apache-2.0
"""Runs the backends' tests and reads their results."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

_STATES = {"failure": "failed", "error": "failed", "skipped": "skipped"}
_LONGEST = 400


def run_tests(root: Path, junit: Path, marker: str) -> int:
    """Run the backends' tests; returns pytest's exit code."""
    command = [sys.executable, "-m", "pytest", "tests/backends", "-q", "-m", marker]
    return subprocess.run([*command, f"--junitxml={junit}"], cwd=root, check=False).returncode


def results(junit: str) -> dict[str, Any]:
    """Count the outcomes, and map each test to its own: `passed`, `failed: ...`, `skipped: ...`.

    Args:
        junit: pytest's report in JUnit's format.
    """
    cases = ElementTree.fromstring(junit).iter("testcase")
    tests = {_name(case): _outcome(case) for case in cases}
    counts = Counter(outcome.partition(":")[0] for outcome in tests.values())
    return {**{state: counts[state] for state in ("passed", "failed", "skipped")}, "tests": tests}


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname', '').removeprefix('tests.backends.')}::{case.get('name')}"


def _outcome(case: ElementTree.Element) -> str:
    for part in case:
        if part.tag in _STATES:
            reason = " ".join((part.get("message") or part.text or "").split())
            return f"{_STATES[part.tag]}: {reason[:_LONGEST]}"
    return "passed"
