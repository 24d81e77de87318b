# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from benchmarks.serving.server import RunningServer, hpip_server
from tests.serving.live_server import LiveServer

TOKEN = "correct horse battery staple"


@dataclass
class _Servers:
    """Servers of the whole test run; all are started before anybody waits for one."""

    plain: LiveServer
    strict: LiveServer
    classes: LiveServer


@pytest.fixture(scope="session")
def _servers(tiny_model_dir: Path, tiny_classes_model_dir: Path) -> Iterator[_Servers]:
    tiny = ("--model_dir", str(tiny_model_dir), "--no-hpip", "--device", "cpu")
    strict = (
        *tiny,
        *("--workers", "1", "--max-queue", "3", "--request-timeout-s", "1.5"),
        *("--max-body-bytes", "200000", "--max-pixels", "100000", "--max-images", "3"),
        *("--max-detections", "1", "--body-timeout-s", "1.5", "--no-visualize"),
        *("--allow-url-input", "--private-url-host", "localhost", "--url-timeout-s", "1"),
    )
    classes = ("--model_dir", str(tiny_classes_model_dir), "--no-hpip", "--device", "cpu")
    with (
        LiveServer(
            *(*tiny, "--workers", "2", "--max-batch-size", "4", "--batch-timeout-ms", "5")
        ) as plain_server,
        LiveServer(*strict, HPIP_SERVING_TOKEN=TOKEN) as strict_server,
        LiveServer(*classes) as classes_server,
    ):
        yield _Servers(plain_server, strict_server, classes_server)


@pytest.fixture
def server(_servers: _Servers) -> LiveServer:
    """Two workers, batches of up to four, default limits."""
    return _servers.plain.wait_until_ready(2)


@pytest.fixture
def strict_server(_servers: _Servers) -> LiveServer:
    """One worker, a token, URLs, and limits that are easy to reach."""
    return _servers.strict.wait_until_ready()


@pytest.fixture
def classes_server(_servers: _Servers) -> LiveServer:
    """A model with SOLOv2's outputs."""
    return _servers.classes.wait_until_ready()


@pytest.fixture
def client(server: LiveServer) -> Iterator[httpx.Client]:
    with server.client() as made:
        yield made


@pytest.fixture
def strict_client(strict_server: LiveServer) -> Iterator[httpx.Client]:
    with strict_server.client(headers={"Authorization": f"Bearer {TOKEN}"}) as made:
        yield made


@pytest.fixture(scope="session")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A ready server with the embedded model and default limits."""
    log = tmp_path_factory.mktemp("demo-server") / "log"
    with hpip_server(["--model", "demo", "--device", "cpu"], log) as server:
        yield server
