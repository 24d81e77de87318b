# SPDX-License-Identifier: Apache-2.0
"""The table of `make release-check`, and what pyproject.toml says about wheels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import release_check
from release_check import Row, StepError, table, tags

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hpip-0.1.0-cp311-cp311-manylinux_2_34_x86_64.whl", ["manylinux_2_34_x86_64"]),
        (
            "hpip-0.1.0-cp310-cp310-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            ["manylinux_2_17_x86_64"],
        ),
        ("hpip-0.1.0-cp312-cp312-linux_x86_64.whl", ["linux_x86_64"]),
    ],
)
def test_tags_come_from_the_file_name(name: str, expected: list[str]) -> None:
    assert tags(name) == expected


def test_the_table_shows_what_failed() -> None:
    rows = [
        Row("3.11.7", "hpip-0.1.0-cp311-cp311-manylinux_2_28_x86_64.whl", 7_340_000, 47.4),
        Row("3.14.0", outcome="build: exit code 1"),
    ]
    lines = table(rows).splitlines()
    assert lines[2] == (
        "| 3.11.7 | hpip-0.1.0-cp311-cp311 | manylinux_2_28_x86_64 | 7.34 | 47 | passed |"
    )
    assert lines[3] == "| 3.14.0 |  |  | 0.00 | 0 | build: exit code 1 |"


def test_a_command_that_fails_names_its_step(capfd: pytest.CaptureFixture[str]) -> None:
    code = "import sys; print('the reason', file=sys.stderr); sys.exit(3)"
    with pytest.raises(StepError, match="install: exit code 3"):
        release_check.run("install", sys.executable, "-c", code)
    assert "the reason" in capfd.readouterr().err
    with pytest.raises(StepError, match=r"install: .*no-such-program"):
        release_check.run("install", "no-such-program")


def test_cibuildwheel_runs_the_same_smoke_test(project: dict[str, Any]) -> None:
    command = project["tool"]["cibuildwheel"]["test-command"]
    assert command == f"python {{project}}/{release_check.SMOKE_TEST}"
    assert (ROOT / release_check.SMOKE_TEST).is_file()


def test_cibuildwheel_builds_for_the_versions_that_are_checked(project: dict[str, Any]) -> None:
    minors = [version.partition(".")[2] for version in release_check.VERSIONS]
    first, last = minors[0], minors[-1]
    assert first[0] == last[0] == "1"
    build = project["tool"]["cibuildwheel"]["build"]
    assert build.startswith(f"cp31[{first[1]}-{last[1]}]-")
    assert project["project"]["requires-python"] == f">=3.{first}"
