# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.serving.server import RunningServer, hpip_server


@pytest.fixture(scope="session")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A ready server with the embedded model and default limits."""
    log = tmp_path_factory.mktemp("demo-server") / "log"
    with hpip_server(["--model", "demo", "--device", "cpu"], log) as server:
        yield server
