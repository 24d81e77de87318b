# SPDX-License-Identifier: Apache-2.0
"""Children start a real Python, whatever runs this process, and leave the user's files alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hpip._core import __version__
from hpip.common.interpreter import child_command, find_interpreter

STANDARD_NAMES = ("random", "queue", "secrets", "numpy", "cv2", "hpip", "runpy")


def test_a_usual_process_starts_its_own_python() -> None:
    assert find_interpreter() == sys.executable


@pytest.mark.parametrize("executable", ["", None, "/bin/false", "/usr/sbin/uwsgi", "/gone/python3"])
def test_an_embedding_program_is_never_started(
    executable: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    found = find_interpreter()
    assert found is not None
    assert Path(found).parent == Path(sys.prefix) / "bin"
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert find_interpreter() is None
    assert child_command("hpip.cli.app") is None


def test_an_embedding_program_that_would_run_forever_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program, mark = tmp_path / "application", tmp_path / "started"
    program.write_text(f"#!/bin/sh\ntouch {mark}\nsleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    assert find_interpreter() is not None
    assert not mark.exists()


def test_another_python_in_the_prefix_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "bin" / "python3"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\necho False\n")
    other.chmod(0o755)
    monkeypatch.setattr(sys, "executable", "")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert find_interpreter() is None


def test_a_frozen_application_has_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert child_command("hpip.cli.app") is None


def test_files_of_the_current_folder_are_not_imported(tmp_path: Path) -> None:
    for name in STANDARD_NAMES:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the user's {name} was imported')")
    command = child_command("hpip", "--version")
    assert command is not None
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == __version__
