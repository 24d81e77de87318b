# SPDX-License-Identifier: Apache-2.0
"""What can be told about the integration without PaddleX; tests/paddlex has the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hpip
from hpip.errors import InvalidInputError
from hpip.integrations.paddlex_always import always_off, always_on
from hpip.paddlex import _with_python_literals, main


def run_python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    paths = [str(Path(hpip.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def future_paddlex(tmp_path: Path) -> Path:
    """A package that says it is a PaddleX which hpip does not know."""
    (tmp_path / "paddlex.py").write_text("__version__ = '9.9.0'\n")
    return tmp_path


def test_without_paddlex_the_error_says_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules['paddlex'] = None\n"
        "import hpip\n"
        "try: hpip.enable_paddlex()\n"
        "except hpip.HpipError as error: print(error)"
    )
    done = run_python(code)
    assert "pip install 'hpip[paddlex]'" in done.stdout, done.stderr


def test_the_hook_warns_and_leaves_a_paddlex_it_does_not_know(future_paddlex: Path) -> None:
    always_on(future_paddlex)
    code = (
        f"import site; site.addsitedir({str(future_paddlex)!r})\n"
        "import paddlex; print(paddlex.__version__)"
    )
    done = run_python(code)
    assert done.stdout.strip() == "9.9.0", done.stderr
    assert "PaddleX runs without hpip" in done.stderr
    assert "9.9.0" in done.stderr
    silent = run_python(code, HPIP_PADDLEX="off")
    assert silent.stdout.strip() == "9.9.0"
    assert silent.stderr == ""


def test_the_hook_outlives_hpip(future_paddlex: Path) -> None:
    always_on(future_paddlex)
    code = (
        "import sys; sys.modules['hpip'] = None\n"
        f"import site; site.addsitedir({str(future_paddlex)!r})\n"
        "import paddlex; print(paddlex.__version__)"
    )
    done = run_python(code)
    assert done.stdout.strip() == "9.9.0", done.stderr


def test_the_hook_changes_nothing_where_paddlex_is_not_installed(tmp_path: Path) -> None:
    always_on(tmp_path)
    code = (
        f"import site; site.addsitedir({str(tmp_path)!r})\n"
        "from importlib.util import find_spec\n"
        "print(find_spec('paddlex_that_is_nowhere'))"
    )
    assert run_python(code).stdout.strip() == "None"


def test_always_off_removes_what_always_on_wrote(tmp_path: Path) -> None:
    written = always_on(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(written)
    assert sorted(always_off(tmp_path)) == sorted(written)
    assert list(tmp_path.iterdir()) == []
    assert always_off(tmp_path) == []


@pytest.mark.parametrize("arguments", [[], ["maybe"], ["on", "--input"]])
def test_always_takes_on_or_off_alone(arguments: list[str]) -> None:
    with pytest.raises(InvalidInputError, match="on or off"):
        main(["--always", *arguments])


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["--hpi_config", '{"auto_config": true}'], ["--hpi_config", "{'auto_config': True}"]),
        (["--hpi_config={'a': None}", "--serve"], ["--hpi_config={'a': None}", "--serve"]),
        (["--input", '{"x": true}'], ["--input", '{"x": true}']),
        (["--hpi_config"], ["--hpi_config"]),
    ],
)
def test_json_becomes_the_python_literal_that_paddlex_reads(
    given: list[str], wanted: list[str]
) -> None:
    assert _with_python_literals(given) == wanted
