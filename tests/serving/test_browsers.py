# SPDX-License-Identifier: Apache-2.0
"""What browsers and ordinary clients send: names, origins, probes, and the pages' files."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from hpip.serving.gate import Gate, allowed_hosts
from hpip.serving.settings import ServingSettings, make_settings
from tests.pictures import rectangles
from tests.serving.live_server import LiveServer, base64_text, encoded

ROUTE = "/instance-segmentation"
TEXT = base64_text(encoded(rectangles(64, 64, green=(8, 8, 40, 32))))
BODY = json.dumps({"image": TEXT, "visualize": False}).encode()
PAGE = "https://app.example.org"


@pytest.fixture(scope="module")
def named(tiny_model_dir: Path) -> Iterator[LiveServer]:
    """A server behind a proxy, for its own page and one other."""
    flags = ("--model_dir", str(tiny_model_dir), "--no-hpip", "--device", "cpu")
    names = ("--allowed-host", "segment.example.org", "--cors-origin", PAGE)
    with LiveServer(*flags, *names) as server:
        yield server.wait_until_ready()


def ask(server: LiveServer, method: str, path: str, body: bytes = b"", **headers: str) -> int:
    return answer(server, method, path, body, **headers).status_code


def answer(
    server: LiveServer, method: str, path: str, body: bytes = b"", **headers: str
) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    with server.client() as client:
        return client.request(method, path, content=body, headers=names)


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_json_without_its_name_is_answered(server: LiveServer, kind: str) -> None:
    """As axios and curl send it: the tutorial's Node.js program does."""
    assert ask(server, "POST", ROUTE, BODY, Content_Type=kind) == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:1", "http://[", "x"]
)
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json"])
def test_foreign_pages_may_not_ask(server: LiveServer, origin: str, kind: str) -> None:
    refused = answer(server, "POST", ROUTE, BODY, Content_Type=kind, Origin=origin)
    assert (refused.status_code, refused.json()["errorCode"]) == (403, 403)
    assert "--cors-origin" in refused.json()["errorMsg"]
    assert "access-control-allow-origin" not in refused.headers


def test_the_server_s_own_page_may_ask(server: LiveServer) -> None:
    origin = server.url.rstrip("/")
    assert ask(server, "POST", ROUTE, BODY, Origin=origin) == 200


def test_a_named_page_may_ask_and_read(named: LiveServer) -> None:
    asked = answer(named, "POST", ROUTE, BODY, Origin=PAGE)
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == PAGE
    preflight = {
        "Origin": PAGE,
        "Access_Control_Request_Method": "POST",
        "Access_Control_Request_Headers": "content-type,authorization",
    }
    allowed = answer(named, "OPTIONS", ROUTE, **preflight)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == PAGE
    foreign = answer(named, "OPTIONS", ROUTE, **{**preflight, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:9", "localhost."]
)
def test_loopback_goes_by_its_own_names(server: LiveServer, host: str) -> None:
    assert ask(server, "GET", "/health", Host=host) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost@evil", "x:y:z", "[::1", "192.168.0.1"],
)
@pytest.mark.parametrize("path", ["/health", "/", ROUTE])
def test_loopback_goes_by_no_other_name(server: LiveServer, host: str, path: str) -> None:
    """A page whose name was made to point here sends that name (DNS rebinding)."""
    refused = answer(server, "GET", path, Host=host)
    assert (refused.status_code, refused.json()["errorCode"]) == (403, 403)
    assert "--allowed-host" in refused.json()["errorMsg"]


def test_a_proxy_s_name_and_page_are_taken(named: LiveServer) -> None:
    """As docs/deploy has it: the proxy hands on the name that the browser asked for."""
    headers = {"Host": "segment.example.org", "Origin": "https://segment.example.org"}
    assert ask(named, "POST", ROUTE, BODY, **headers) == 200
    assert ask(named, "GET", "/health") == 200
    assert ask(named, "GET", "/health", Host="evil.example") == 403


def test_an_old_client_without_a_host_is_answered(server: LiveServer) -> None:
    connection = http.client.HTTPConnection(*server.address, timeout=60)
    connection.putrequest("GET", "/health", skip_host=True)
    connection.endheaders()
    # HTTP/1.1 asks for one; uvicorn does not insist.
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize(
    ("section", "host", "expected"),
    [
        ({}, "127.0.0.1", True),
        ({}, "::1", True),
        ({}, "127.8.8.8", True),
        ({}, "0.0.0.0", False),
        ({}, "192.168.0.5", False),
        ({"allowed_hosts": ["*"]}, "127.0.0.1", False),
        ({"allowed_hosts": ["a.example"]}, "0.0.0.0", True),
    ],
)
def test_names_are_checked_where_they_are_known(
    section: dict[str, object], host: str, expected: bool
) -> None:
    hosts = allowed_hosts(make_settings({**section, "host": host}, {}))
    assert (hosts is not None) == expected
    Gate(lambda *_: None, ServingSettings(host=host))  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/", "/app.js", "/docs", "/metrics"])
def test_head_is_get_without_a_body(server: LiveServer, path: str) -> None:
    got = answer(server, "HEAD", path)
    assert (got.status_code, got.content) == (200, b"")


@pytest.mark.parametrize("path", ["/health/", "/health/ready/", "/metrics/"])
def test_a_slash_at_the_end_makes_no_difference(server: LiveServer, path: str) -> None:
    assert ask(server, "GET", path) == 200
    assert ask(server, "POST", f"{ROUTE}/", BODY) == 200


@pytest.mark.parametrize("page", ["/", "/docs"])
def test_all_that_a_page_loads_is_here(server: LiveServer, page: str) -> None:
    got = answer(server, "GET", page)
    assert (
        "'unsafe-inline'"
        not in got.headers["content-security-policy"].partition("script-src")[2].partition(";")[0]
    )
    named_files = re.findall(r'(?:src|href)="([^"#]+)"', got.text)
    assert named_files
    for name in named_files:
        assert "//" not in name
        assert ask(server, "GET", urljoin(page, name)) == 200, name


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/app.js", 405),
        ("DELETE", "/", 405),
        ("PUT", "/docs", 405),
        ("GET", "/app.jsx", 404),
        ("GET", "/page/index.html", 404),
        ("GET", "/..%2fapp.py", 404),
        ("GET", "/docs/", 404),
        ("OPTIONS", "/app.js", 405),
    ],
)
def test_failures_of_static_files_are_json(
    server: LiveServer, method: str, path: str, status: int
) -> None:
    got = answer(server, method, path)
    assert (got.status_code, got.json()["errorCode"]) == (status, status)


def test_static_files_are_asked_for_once(server: LiveServer) -> None:
    first = answer(server, "GET", "/app.js")
    again = answer(server, "GET", "/app.js", If_None_Match=f'W/"x", {first.headers["etag"]}')
    assert (again.status_code, again.content) == (304, b"")
    odd = answer(server, "GET", "/app.js", Range="bytes=9-1,z")
    assert (odd.status_code, odd.content) == (200, first.content)
