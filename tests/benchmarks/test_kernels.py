# SPDX-License-Identifier: Apache-2.0
"""The benchmarks run: every case of the smallest picture once, without a word about time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("cv2", reason="the benchmarks compare with OpenCV")

from benchmarks.kernels import __main__ as command
from benchmarks.kernels import report
from benchmarks.kernels.case import HPIP

# The suites that have no small picture, and what picks their cheapest case.
CHEAPEST = {"detection": "stride 64"}


@pytest.mark.parametrize("suite", command.suites())
def test_every_case_agrees_with_its_contenders(suite: str, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    once = [
        "--only",
        CHEAPEST.get(suite, "480p"),
        "--rounds",
        "1",
        "--threads",
        "1",
        "--caches",
        "warm",
    ]
    command.main(["--suites", suite, *once, "--output", str(output)])
    results = json.loads(output.read_text(encoding="utf-8"))
    assert {row["contender"] for row in results["results"]} > {HPIP}
    table = report.markdown(results)
    assert all(row["contender"] in table for row in results["results"])
