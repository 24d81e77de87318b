# SPDX-License-Identifier: Apache-2.0
"""Clients that are slow, silent or rude: no connection is held for ever, and refusals are read."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.serving.live_server import LiveServer, base64_text, wait_for

ROUTE = "/instance-segmentation"


@pytest.fixture(scope="module")
def short(tiny_model_dir: Path) -> Iterator[LiveServer]:
    """A server whose clocks are short."""
    flags = ("--model_dir", str(tiny_model_dir), "--no-hpip", "--device", "cpu", "--workers", "1")
    clocks = ("--body-timeout-s", "1", "--answer-timeout-s", "1.5", "--max-body-bytes", "30000000")
    with LiveServer(*flags, *clocks) as server:
        yield server.wait_until_ready()


def connect(server: LiveServer, *, receive_bytes: int | None = None) -> socket.socket:
    connection = socket.socket()
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(60)
    connection.connect(server.address)
    return connection


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def _resident_bytes(server: LiveServer) -> int:
    """Of the front process."""
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the server ends the connection; a reset is an end, too."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65536):
            found += data
    return found


@pytest.mark.parametrize("drip", [b"x", b""])
@pytest.mark.parametrize(
    "start",
    [
        head("POST", "/nothing", "Content-Length: 1000000"),
        head("GET", "/health", "Content-Length: 1000000"),
        head("POST", ROUTE, "Content-Length: 1000000", "Content-Encoding: gzip"),
        head("POST", ROUTE, "Content-Length: 999999999"),
        head("GET", "/health", "Transfer-Encoding: chunked") + b"5\r\n",
        head("POST", ROUTE, "Content-Length: 100") + b"{",
    ],
)
def test_a_body_that_does_not_end_ends_the_connection(
    short: LiveServer, start: bytes, drip: bytes
) -> None:
    """Also after an early answer, when nobody waits for the body any more."""
    ended = threading.Event()

    def send_now_and_then() -> None:
        with contextlib.suppress(OSError):
            while not ended.wait(0.2):
                connection.sendall(drip)

    with connect(short) as connection:
        connection.sendall(start)
        threading.Thread(target=send_now_and_then, daemon=True).start()
        assert read_to_end(connection).startswith(b"HTTP/1.1 ")
        ended.set()
    assert short.status()["readyWorkers"] == 1


@pytest.mark.parametrize("status", [413, 415])
@pytest.mark.parametrize("connection_header", ["close", "keep-alive"])
def test_an_early_refusal_is_read_by_a_client_that_sends_all(
    short: LiveServer, status: int, connection_header: str
) -> None:
    body = b"x" * (40_000_000 if status == 413 else 20_000_000)
    headers = {"Content-Type": "application/json", "Connection": connection_header}
    if status == 415:
        headers["Content-Encoding"] = "gzip"
    for _ in range(3):
        connection = http.client.HTTPConnection(*short.address, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", ROUTE, body, headers)
            answer = connection.getresponse()
            assert answer.status == status
            assert json.loads(answer.read())["errorCode"] == status


def test_an_answer_that_nobody_takes_is_dropped(short: LiveServer) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), np.uint8)
    # It comes back in the answer's drawing: ten megabytes, more than sockets hold.
    picture = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()
    body = json.dumps({"image": base64_text(picture), "visualize": True}).encode()
    with connect(short, receive_bytes=4096) as silent:
        length = f"Content-Length: {len(body)}"
        silent.sendall(head("POST", ROUTE, "Content-Type: application/json", length) + body)
        assert silent.recv(16).startswith(b"HTTP/1.1 200")
        with short.client() as client:

            def open_requests() -> bool:
                return "hpip_open_requests 1.0" not in client.get("/metrics").text

            assert open_requests()  # its own beside the silent one's
            wait_for(lambda: not open_requests(), 60)
        # What is left is what the sockets held; then it ends.
        assert len(read_to_end(silent)) < len(body)


def test_trailers_count_as_head_and_are_not_kept(short: LiveServer) -> None:
    before = _resident_bytes(short)
    with connect(short) as connection:
        start = head("POST", ROUTE, "Transfer-Encoding: chunked", "Content-Type: application/json")
        connection.sendall(start + b"2\r\n{}\r\n0\r\n")
        line = b"X: " + b"a" * 1000 + b"\r\n"
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 100_000_000:
                connection.sendall(line * 100)
                sent += 100 * len(line)
        found = read_to_end(connection)
    assert found == b"" or found.startswith((b"HTTP/1.1 400", b"HTTP/1.1 408"))
    assert _resident_bytes(short) - before < 50_000_000


def test_a_trailer_without_an_end_is_no_hole(short: LiveServer) -> None:
    with connect(short) as connection:
        connection.sendall(
            head("POST", ROUTE, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\nX: "
        )
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                connection.sendall(b"a" * 10_000)
        found = read_to_end(connection)
    assert found == b"" or found.startswith((b"HTTP/1.1 400", b"HTTP/1.1 408"))


def test_trailers_of_an_honest_client_do_no_harm(short: LiveServer) -> None:
    with connect(short) as connection:
        start = head("POST", ROUTE, "Transfer-Encoding: chunked", "Connection: close")
        connection.sendall(start + b"2\r\n{}\r\n0\r\nX-Checksum: abc\r\nHost: elsewhere\r\n\r\n")
        assert read_to_end(connection).startswith(b"HTTP/1.1 422")


@pytest.mark.slow
@pytest.mark.parametrize("bait", [b"\r\n", b"G"])
def test_bytes_that_begin_no_request_do_not_hold_it(short: LiveServer, bait: bytes) -> None:
    with connect(short) as connection:
        connection.sendall(head("GET", "/health"))
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.sendall(bait)
        assert b"HTTP/1.1 200" not in read_to_end(connection)


def _hold(server: LiveServer, how: str) -> socket.socket:
    connection = connect(server, receive_bytes=4096)
    if how == "half a head":
        connection.sendall(b"POST /inst")
    elif how == "half a body":
        connection.sendall(head("POST", ROUTE, "Content-Length: 100") + b"{")
    elif how == "left over":
        connection.sendall(head("GET", "/health", "Content-Length: 100"))
    else:
        connection.sendall(head("GET", "/docs", "Connection: keep-alive"))
    return connection


@pytest.mark.parametrize("how", ["half a head", "half a body", "left over", "idle"])
def test_sigterm_ends_whatever_clients_hold(tiny_model_dir: Path, how: str) -> None:
    flags = ("--model_dir", str(tiny_model_dir), "--no-hpip", "--device", "cpu")
    with LiveServer(*flags, "--shutdown-timeout-s", "3", "--body-timeout-s", "3000") as server:
        server.wait_until_ready()
        with contextlib.closing(_hold(server, how)):
            wait_for(lambda: server.status(), 10)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(30) in (0, 1)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_log_that_nobody_reads_stops_no_answer(tiny_model_dir: Path, stream: str) -> None:
    """A pipe takes 64 KB; then whoever writes to it waits."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flags = ["--model_dir", str(tiny_model_dir), "--no-hpip", "--device", "cpu"]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: subprocess.PIPE}
    process = subprocess.Popen(
        [sys.executable, "-m", "hpip", "serve", "--port", str(port), *flags],
        env={**os.environ, "HPIP_LOG": "info"},
        **streams,
    )
    try:

        def is_up() -> bool:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                return True
            return False

        wait_for(is_up)

        def ask() -> None:
            # Each leaves a line: in the access log, or of what is no HTTP.
            if stream == "stdout":
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                with contextlib.closing(connection):
                    for _ in range(300):
                        connection.request("GET", "/" + "a" * 200)
                        assert connection.getresponse().read()
            else:
                for _ in range(500):
                    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                        connection.sendall(b"nonsense\r\n\r\n")
                        assert connection.recv(100).startswith(b"HTTP/1.1 400")

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in threads)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
