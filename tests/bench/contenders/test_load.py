# SPDX-License-Identifier: Apache-2.0
"""Loads on a service that takes one caller at a time, for at least a known time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hpip.bench.contenders.load import run_load
from hpip.bench.process import ContenderError, start_worker

SERVICE_S = 0.05


class OneAtATime:
    def __init__(self) -> None:
        self.images: list[str] = []
        self.most_at_once = 0
        self._inside = 0
        self._counting = threading.Lock()
        self._service = threading.Lock()

    def __call__(self, image: str) -> None:
        with self._counting:
            self._inside += 1
            self.most_at_once = max(self.most_at_once, self._inside)
            self.images.append(image)
        try:
            with self._service:
                time.sleep(SERVICE_S)
        finally:
            with self._counting:
                self._inside -= 1


@pytest.mark.parametrize("callers", [1, 3])
def test_closed_loop_keeps_so_many_requests_under_way(callers: int) -> None:
    service = OneAtATime()
    done = run_load(service, {"images": ["a", "b"], "seconds": 0.6, "callers": callers})
    latencies = done["latencies_ms"]
    assert service.most_at_once == callers
    assert len(latencies) == len(service.images)
    assert set(service.images) == {"a", "b"}
    assert min(latencies) >= SERVICE_S * 1e3 - 1
    # One at a time: nobody can have had more than the clock allows.
    assert len(latencies) <= done["elapsed_s"] / SERVICE_S + 1
    assert sum(latencies) <= callers * done["elapsed_s"] * 1e3 + 1


def test_open_loop_charges_for_the_queue() -> None:
    """60 requests in a second, to a service that can do 20: the last one waits for two seconds.

    A closed loop, or one that counts from when a request was sent, would tell 50 ms of each.
    """
    service = OneAtATime()
    done = run_load(service, {"images": ["a"], "seconds": 1.0, "rate_per_s": 60.0})
    latencies, count = done["latencies_ms"], len(done["latencies_ms"])
    assert 35 <= count <= 90
    work_ms = count * SERVICE_S * 1e3
    assert max(latencies) >= work_ms - 1000
    # Requests come evenly and leave 50 ms apart: on average each waits for half of the backlog.
    assert sum(latencies) / count >= 0.4 * (work_ms - 1000)


def test_open_loop_asks_at_the_same_moments_every_time() -> None:
    counts = {
        len(run_load(str, {"images": ["a"], "seconds": 0.3, "rate_per_s": 40.0})["latencies_ms"])
        for _ in range(3)
    }
    assert len(counts) == 1


def test_errors_are_counted_and_the_first_is_told() -> None:
    calls = iter(range(1000))

    def call(_image: str) -> None:
        if next(calls) % 2:
            raise RuntimeError("no luck")
        time.sleep(0.005)

    done = run_load(call, {"images": ["a"], "seconds": 0.2, "callers": 1})
    assert done["first_error"] == "no luck"
    assert abs(done["errors"] - len(done["latencies_ms"])) <= 1


class _Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    status = 200

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/instance-segmentation"
        assert body["image"]
        time.sleep(0.01)
        answer = json.dumps({"errorCode": 0, "threshold": body.get("threshold")}).encode()
        self.send_response(type(self).status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_service_is_measured_by_its_address(service: str, photos: Path) -> None:
    images = [str(path) for path in sorted(photos.iterdir())]
    with start_worker("url_contender") as process:
        process.ask("load", timeout_s=60, url=service, http_timeout_s=5, threshold=0.5)
        assert process.ask("run", timeout_s=60, images=images)["wall_ms"] >= 20
        done = process.ask("load_test", timeout_s=60, images=images, seconds=0.5, callers=2)
        assert done["errors"] == 0
        assert min(done["latencies_ms"]) >= 10


def test_a_service_that_refuses_is_an_error(
    service: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Service, "status", 503)
    images = [str(path) for path in photos.iterdir()]
    with start_worker("url_contender") as process:
        process.ask("load", timeout_s=60, url=service, http_timeout_s=5, threshold=None)
        with pytest.raises(ContenderError, match="HTTP 503"):
            process.ask("run", timeout_s=60, images=images)
        done = process.ask("load_test", timeout_s=60, images=images, seconds=0.2, callers=1)
        assert done["errors"] > 0
        assert done["latencies_ms"] == []
