# SPDX-License-Identifier: Apache-2.0
"""Limits, the token, and URLs that lead where they should not."""

from __future__ import annotations

import http.server
import json
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.pictures import rectangles
from tests.serving.conftest import TOKEN
from tests.serving.live_server import LiveServer, base64_text, encoded, wait_for

ROUTE = "/instance-segmentation"
PNG = encoded(rectangles(64, 64, green=(8, 8, 40, 32), red=(40, 40, 64, 64)))
TEXT = base64_text(PNG)


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path; `/to/URL` redirects."""

    asked: list[str]

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        elif self.path == "/slow":
            time.sleep(1.3)
        elif self.path == "/drip":
            # A header that never ends, a byte now and then: no single wait is long.
            for _ in range(100):
                try:
                    self.wfile.write(b"H")
                except OSError:
                    return
                time.sleep(0.05)
        elif self.path == "/huge":
            self._send(b"x" * 300_000)
        elif self.path == "/page.html":
            self._send(b"<!doctype html>")
        elif self.path == "/photo.png":
            self._send(PNG)
        else:
            self.send_error(404)

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[http.server.ThreadingHTTPServer]:
    """A local HTTP server that remembers what it was asked, in `asked`."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.asked = []  # type: ignore[attr-defined]
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def port(site: http.server.ThreadingHTTPServer) -> int:
    site.asked.clear()  # type: ignore[attr-defined]
    return site.server_address[1]


def _refusal(client: httpx.Client, **body: object) -> str:
    answer = client.post(ROUTE, json=body)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["errorCode"] == answer.status_code
    return str(answer.json()["errorMsg"])


def test_token_is_needed_where_work_is_done_or_told(strict_server: LiveServer) -> None:
    with strict_server.client() as client:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": TOKEN},
            {"Authorization": b"Bearer \xff\xfe"},
        ):
            answer = client.post(ROUTE, json={"image": TEXT}, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert client.get("/metrics", headers=headers).status_code == 401
        assert client.get("/health").status_code == 200
        assert client.get("/health/ready").status_code == 200
        good = {"Authorization": f"Bearer {TOKEN}"}
        assert client.post(ROUTE, json={"image": TEXT}, headers=good).status_code == 200
        assert client.get("/metrics", headers=good).status_code == 200
    assert TOKEN not in "".join(strict_server.messages) + str(strict_server.access_log)


def test_large_bodies_get_413(strict_client: httpx.Client, strict_server: LiveServer) -> None:
    body = json.dumps({"image": "A" * 300_000}).encode()
    announced = strict_client.post(ROUTE, content=body)
    chunked = strict_client.post(ROUTE, content=(body[i : i + 999] for i in range(0, 300_000, 999)))
    assert announced.status_code == chunked.status_code == 413
    assert "200000" in announced.json()["errorMsg"]
    assert strict_client.post(ROUTE, json={"image": TEXT}).status_code == 200


def test_slow_body_gets_408(strict_server: LiveServer) -> None:
    with socket.create_connection(strict_server.address, timeout=10) as connection:
        head = f"POST {ROUTE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        connection.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")


def test_head_without_end_is_cut_off(server: LiveServer) -> None:
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 20_000)
        assert connection.recv(1000).startswith(b"HTTP/1.1 400")


def test_body_that_nobody_waited_for_is_no_head(server: LiveServer) -> None:
    """It arrives together with the beginning of the next request."""
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(
            b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 150000\r\n\r\n"
        )
        assert _answer(connection).startswith(b"HTTP/1.1 404")
        connection.sendall(b"x" * 150_000 + b"GET /heal")
        time.sleep(0.3)
        connection.sendall(b"th HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert _answer(connection).startswith(b"HTTP/1.1 200")


def _answer(connection: socket.socket) -> bytes:
    """One whole answer, whose body is a flat JSON object or, where the head is refused, a text."""
    answer = b""
    while not answer.endswith((b"}", b"bytes.")):
        answer += connection.recv(1000)
    return answer


@pytest.mark.slow
def test_slow_head_is_cut_off(server: LiveServer) -> None:
    connections = [socket.create_connection(server.address, timeout=60) for _ in range(3)]
    connections[1].sendall(b"GET /hea")
    connections[2].sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while b"Healthy" not in answer:
        answer += connections[2].recv(1000)
    connections[2].sendall(b"GET /hea")
    for connection in connections:
        with connection:
            assert connection.recv(1000) == b""


def test_compressed_body_gets_415(strict_client: httpx.Client) -> None:
    answer = strict_client.post(ROUTE, content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415


def test_decompression_bomb_is_refused_by_its_header(strict_client: httpx.Client) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    message = _refusal(strict_client, image=base64_text(bomb))
    assert "50000 x 50000" in message
    assert "100000" in message


def test_the_decoders_have_the_limit_themselves(strict_server: LiveServer) -> None:
    (pid,) = strict_server.worker_pids()
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert b"OPENCV_IO_MAX_IMAGE_PIXELS=100000" in variables


def test_formats_without_a_known_size_are_refused(strict_client: httpx.Client) -> None:
    for start in (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b"8BPS\0\1", b"DICM"):
        message = _refusal(strict_client, image=base64_text(start + bytes(100)))
        assert "not an image" in message


def test_too_many_pictures_are_refused(strict_client: httpx.Client) -> None:
    assert "at most 3" in _refusal(strict_client, images=[TEXT] * 4)


def test_instances_are_limited_and_the_best_are_kept(strict_client: httpx.Client) -> None:
    answer = strict_client.post(ROUTE, json={"image": TEXT})
    assert len(answer.json()["result"]["instances"]) == 1


def test_picture_is_not_drawn_where_the_server_says_so(strict_client: httpx.Client) -> None:
    assert "image" not in strict_client.post(ROUTE, json={"image": TEXT}).json()["result"]
    drawn = strict_client.post(ROUTE, json={"image": TEXT, "visualize": True})
    assert "image" in drawn.json()["result"]


def test_urls_are_off_unless_allowed(
    client: httpx.Client, site: http.server.ThreadingHTTPServer, port: int
) -> None:
    answer = client.post(ROUTE, json={"image": f"http://localhost:{port}/photo.png"})
    assert answer.status_code == 403
    assert "--allow-url-input" in answer.json()["errorMsg"]
    assert not site.asked  # type: ignore[attr-defined]


def test_url_of_a_named_private_host_is_fetched(strict_client: httpx.Client, port: int) -> None:
    answer = strict_client.post(ROUTE, json={"image": f"http://localhost:{port}/photo.png"})
    assert answer.status_code == 200
    assert len(answer.json()["result"]["instances"]) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/photo.png",
        "http://127.1:{port}/photo.png",
        "http://2130706433:{port}/photo.png",
        "http://0x7f000001:{port}/photo.png",
        "http://0.0.0.0:{port}/photo.png",
        "http://[::1]:{port}/photo.png",
        "http://[::ffff:127.0.0.1]:{port}/photo.png",
        "http://localhost:{port}/to/http://127.0.0.1:{port}/photo.png",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "https://192.168.1.1/",
    ],
)
def test_private_addresses_are_not_asked(
    strict_client: httpx.Client,
    site: http.server.ThreadingHTTPServer,
    port: int,
    url: str,
) -> None:
    assert "not public" in _refusal(strict_client, image=url.format(port=port))
    assert "/photo.png" not in site.asked  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "expected an http or https URL"),
        ("ftp://localhost/photo.png", "expected an http or https URL"),
        ("gopher://localhost:{port}/x", "expected an http or https URL"),
        ("http:///nohost", "expected an http or https URL"),
        ("http://[::1/photo.png", "not a valid URL"),
        ("http://localhost@127.0.0.1:{port}/photo.png", "without a user name"),
        ("http://localhost:{port}/to/file:///etc/passwd", "not allowed"),
        ("http://localhost:{port}/to/ftp://localhost/x", "the redirect is not allowed"),
        ("http://localhost:{port}/404", "HTTP 404"),
        ("http://localhost:{port}/huge", "too large"),
        ("http://localhost:{port}/slow", "no complete response"),
        ("http://localhost:{port}/drip", "no complete response"),
        ("http://localhost:{port}/page.html", "not an image"),
        ("http://localhost:99999/", "not a valid URL"),
        ("http://localhost:{port}/a b", "can't be downloaded"),
        ("http://localhost\r\nX: y/", "not a valid URL"),
        ("http://nothing.invalid/", "can't be downloaded"),
    ],
)
def test_bad_urls_are_told_what_is_wrong(
    strict_client: httpx.Client, port: int, url: str, message: str
) -> None:
    assert message in _refusal(strict_client, image=url.format(port=port))


def test_redirects_have_an_end(strict_client: httpx.Client, port: int) -> None:
    loop = f"http://localhost:{port}/to/" + f"http://localhost:{port}/to/" * 8 + "x"
    assert "redirected more than" in _refusal(strict_client, image=loop)


def test_one_bad_url_among_several_takes_no_other_down(
    strict_client: httpx.Client, port: int
) -> None:
    body = {"images": [f"http://localhost:{port}/404", TEXT, "http://10.0.0.1/"]}
    results = strict_client.post(ROUTE, json=body).json()["result"]["results"]
    assert [one.get("errorCode", 200) for one in results] == [422, 200, 422]


def test_failures_tell_nothing_about_the_machine(
    strict_client: httpx.Client, strict_server: LiveServer
) -> None:
    for body in (b"{", b'{"image": "x"}', b'{"image": "file:///etc/passwd"}', b"\xff" * 50):
        text = strict_client.post(ROUTE, content=body).text
        assert not re.search(r"Traceback|\.py|/home|/usr|/opt|/tmp", text)
    wait_for(lambda: len(strict_server.access_log) > 3, 10)
