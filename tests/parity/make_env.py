# SPDX-License-Identifier: Apache-2.0
"""Make a virtual environment for PaddleX, whose pinned wheels hpip's own must not have."""

from __future__ import annotations

import argparse
import subprocess
import venv
from pathlib import Path

REQUIREMENTS = ("paddlex[base]==3.7.2", "paddlepaddle==3.2.2")
DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "build" / "parity-env"


def ensure_env(folder: Path) -> Path:
    """Return the environment's Python; a complete environment with these pins is left as it is."""
    python = folder / "bin" / "python"
    installed = folder / "installed.txt"
    wanted = "\n".join(REQUIREMENTS)
    if installed.is_file() and installed.read_text(encoding="utf-8") == wanted:
        return python
    venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
    installed.write_text(wanted, encoding="utf-8")
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT_FOLDER)
    print(ensure_env(parser.parse_args().folder))


if __name__ == "__main__":
    main()
