# SPDX-License-Identifier: Apache-2.0
"""How a child process is started: by a real Python, with the modules of this one."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

_PYTHON_NAME = re.compile(r"(python|pypy)w?[\d.]*(\.exe)?", re.IGNORECASE)
_PROBE_S = 10.0
# The current folder is left out: a user's random.py there would replace the standard library's.
# `-P` does the same from Python 3.11 on. The package's folder comes last, for a checkout.
_START = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; package, module = sys.argv[1:3];"
    "package in sys.path or sys.path.append(package); del sys.argv[1:3];"
    "import runpy; runpy.run_module(module, run_name='__main__', alter_sys=True)"
)
_PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])


def child_command(module: str, *arguments: str) -> list[str] | None:
    """The command line that runs a module of hpip in a child process, from any folder.

    Returns:
        The command, or None in a process that has no Python interpreter, such as a frozen
        application.
    """
    python = find_interpreter()
    if python is None:
        return None
    return [python, "-c", _START, _PACKAGE_PARENT, module, *arguments]


def find_interpreter() -> str | None:
    """The Python interpreter of this process; None where there is none.

    `sys.executable` may be empty, or an application that embeds Python (uWSGI, Blender) or was
    frozen: starting that would start the application again. What is not named like a Python is
    never run; the interpreter of `sys.prefix` is tried instead.
    """
    return _find_interpreter(sys.executable or "", sys.prefix, bool(getattr(sys, "frozen", False)))


@functools.cache
def _find_interpreter(executable: str, prefix: str, frozen: bool) -> str | None:
    if frozen:
        return None
    if _PYTHON_NAME.fullmatch(Path(executable).name) and os.access(executable, os.X_OK):
        return executable
    major, minor = sys.version_info[:2]
    folder = Path(prefix) / ("Scripts" if os.name == "nt" else "bin")
    for name in (f"python{major}.{minor}", f"python{major}", "python", "python.exe"):
        found = str(folder / name)
        if os.access(found, os.X_OK) and _is_alike(found):
            return found
    return None


def _is_alike(python: str) -> bool:
    """Whether it is the version of this process and finds the same compiled hpip."""
    code = f"{_IMPORT}; print(sys.version_info[:2] == {sys.version_info[:2]!r})"
    try:
        done = subprocess.run(
            [python, "-c", code, _PACKAGE_PARENT],
            capture_output=True,
            text=True,
            timeout=_PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == "True"


_IMPORT = (
    "import sys; sys.path[:] = [p for p in sys.path if p] + sys.argv[1:]; import hpip._core, numpy"
)
