# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def photos_dir() -> Path:
    """Real photographs; they lie beside the checkout on development machines only."""
    folder = SHARED / "photos"
    if not folder.is_dir():
        pytest.skip(f"real photos are not here: {folder}")
    return folder


@pytest.fixture(scope="session")
def zoo_source_dir() -> Path:
    """Recipes of the 15 official graphs; see `zoo_model` to get one as a model directory."""
    folder = SHARED / "zoo"
    if not folder.is_dir():
        pytest.skip(f"the model zoo is not here: {folder}")
    return folder
