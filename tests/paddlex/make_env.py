# SPDX-License-Identifier: Apache-2.0
"""Make a virtual environment with PaddleX, its serving extra, this hpip and what its tests need."""

from __future__ import annotations

import argparse
import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEWEST = "3.7.2"
# The newest Paddle that runs oneDNN: see the extra `paddle` in pyproject.toml.
PADDLE = "paddlepaddle==3.2.2"
TEST_TOOLS = ("pytest>=8", "hypothesis>=6.100", "onnxruntime>=1.18", "onnx>=1.16")


def make_env(folder: Path, version: str) -> Path:
    """Install everything, or what is missing; returns the environment's Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    requirements = [f"paddlex[base,serving]=={version}", PADDLE, *TEST_TOOLS]
    command = [python, "-m", "pip", "install", "--quiet", *requirements, "--editable", ROOT]
    subprocess.run(command, check=True)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paddlex", default=NEWEST, help="version, 3.0.3 to 3.7.2")
    parser.add_argument("folder", type=Path, nargs="?", help="default: build/paddlex-VERSION")
    args = parser.parse_args()
    folder = args.folder or ROOT / "build" / f"paddlex-{args.paddlex}"
    print(make_env(folder, args.paddlex))


if __name__ == "__main__":
    main()
