# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
TOOLS = REPO / "tools" / "demo_model"
DEMO = REPO / "hpip" / "demo"
FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")

# The scripts import one another by plain name, as they do when they are run.
sys.path.insert(0, str(TOOLS))


@pytest.fixture(scope="session")
def generator_parts() -> None:
    """Skip where the generator's font or picture packages are not installed."""
    missing = [n for n in ("skimage", "sklearn", "matplotlib", "tqdm") if not _has(n)]
    if not FONT.is_file():
        missing.append("fonts-noto-color-emoji (Debian)")
    if missing:
        pytest.skip(f"the generator needs {', '.join(missing)}: tools/demo_model/requirements.txt")


@pytest.fixture(scope="session")
def demo_dir() -> Path:
    """The model and pictures that the wheel carries."""
    return DEMO


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
