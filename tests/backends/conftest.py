# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

import hpip
from hpip.types import ModelFiles


@pytest.fixture(scope="session")
def demo_files() -> ModelFiles:
    """The model that the package carries, untouched."""
    folder = Path(hpip.__file__).parent / "demo"
    return ModelFiles(folder / "inference.json", folder / "inference.pdiparams")
