# SPDX-License-Identifier: Apache-2.0
"""A Python environment like this one, but without Paddle and without the onnx package."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

_LEFT_OUT = ("paddle", "onnx")
_ENGINES = ("onnxruntime", "openvino")


def make_environment(folder: Path, *engines: str) -> Path:
    """Make a virtual environment whose packages are links to this one's; returns its Python.

    Args:
        folder: does not exist yet.
        engines: those to keep.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    found = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    site = Path(found.stdout.strip())
    dropped = (*_LEFT_OUT, *(engine for engine in _ENGINES if engine not in engines))
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        name = path.name.split("-")[0]
        is_dropped = name in dropped or name.startswith("paddle")
        if not is_dropped and not (site / path.name).exists():
            (site / path.name).symlink_to(path)
    return python


def run(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run this Python in a folder, without warnings."""
    return subprocess.run(
        [python, "-W", "ignore", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


if __name__ == "__main__":
    sys.stdout.write(f"{make_environment(Path(sys.argv[1]), *sys.argv[2:])}\n")
