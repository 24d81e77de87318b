# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import http.server
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpip.errors import InvalidInputError
from hpip.inputs.fetch import UrlPolicy, fetch_url
from hpip.inputs.sources import iter_sources
from tests.source_images import failure, only, picture, png, shades, tiff_pages


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path; `release` lets the slow answers go on when the test is over."""

    release = threading.Event()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/to/") or path == "/loop":
            self.send_response(302)
            self.send_header("Location", path.removeprefix("/to/"))
            self.end_headers()
        elif path == "/hang":
            self.release.wait(20)
            self.close_connection = True
        elif path == "/drip":
            self._head("image/png", 1000)
            for _ in range(1000):
                if self.release.wait(0.02):
                    break
                self._write(b"x")
        elif path == "/cut":
            self._head("image/png", len(png()))
            self._write(png()[:-20])
        elif path == "/endless":
            self._head("image/png", None)
            while self._write(b"x" * 4096):
                pass
        elif path in ("/404", "/500"):
            self.send_error(int(path[1:]))
        elif path == "/204":
            self.send_response(204)
            self.end_headers()
        else:
            kind, body = {
                "/photo.png": ("image/png", png(33)),
                "/mislabelled.jpg": ("text/plain", png(44)),
                "/scan.tiff": ("image/tiff", tiff_pages(2)),
                "/page.html": ("text/html", b"<!doctype html><p>hello"),
                "/empty.png": ("image/png", b""),
                "/big.png": ("image/png", png() + b"\0" * 5000),
            }[path]
            self._head(kind, len(body))
            self._write(body)

    def _head(self, kind: str, length: int | None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _write(self, data: bytes) -> bool:
        try:
            self.wfile.write(data)
        except OSError:
            return False
        return True

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
    finally:
        _Handler.release.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()


class TestUrls:
    @pytest.fixture(autouse=True)
    def no_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("no_proxy", "*")

    @pytest.mark.parametrize(
        ("path", "expected", "stem"),
        [
            ("/photo.png", 33, "photo"),
            ("/photo.png?size=[1]&token=a/b.c", 33, "photo"),
            ("/mislabelled.jpg", 44, "mislabelled"),
        ],
    )
    def test_image(self, server: str, path: str, expected: int, stem: str) -> None:
        source = only(server + path)
        assert shades(iter([source])) == [expected]
        assert source.input_path == source.name == server + path
        assert source.stem == stem

    def test_pages(self, server: str) -> None:
        sources = list(iter_sources(f"{server}/scan.tiff"))
        assert [source.page_index for source in sources] == [0, 1]
        assert sources[1].stem == "scan_1"

    def test_redirect_within_the_policy(self, server: str) -> None:
        policy = UrlPolicy(allowed_hosts=frozenset({"127.0.0.1"}))
        assert only(f"{server}/to//photo.png", url_policy=policy).error is None
        assert only(f"{server}/to/{server}/photo.png", url_policy=policy).error is None

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("/page.html", "not an image.*declared the content type 'text/html'"),
            ("/empty.png", "the file is empty"),
            ("/404", "HTTP 404 Not Found"),
            ("/500", "HTTP 500"),
            ("/204", "HTTP 204"),
            ("/cut", "closed after [0-9]+ of [0-9]+ bytes"),
            ("/to/file:///etc/hostname", "not allowed"),
            ("/to/ftp://127.0.0.1/x.png", "the redirect is not allowed.*'ftp'"),
        ],
    )
    def test_bad_answers(self, server: str, path: str, message: str) -> None:
        text = failure(server + path)
        assert text.startswith(server + path)
        with pytest.raises(InvalidInputError, match=message):
            raise only(server + path).error or AssertionError

    def test_hosts(self, server: str) -> None:
        policy = UrlPolicy(allowed_hosts=frozenset({"example.org"}))
        message = failure(f"{server}/photo.png", url_policy=policy)
        assert "host '127.0.0.1' is not allowed; allowed hosts: example.org" in message
        policy = UrlPolicy(allowed_hosts=frozenset({"127.0.0.1"}))
        message = failure(f"{server}/to/http://localhost:1/photo.png", url_policy=policy)
        assert "the redirect is not allowed" in message
        assert "host 'localhost' is not allowed" in message

    def test_redirects_without_end(self, server: str) -> None:
        assert "HTTP 302" in failure(f"{server}/loop")

    @pytest.mark.parametrize("path", ["/big.png", "/endless"])
    def test_too_large(self, server: str, path: str) -> None:
        message = failure(server + path, url_policy=UrlPolicy(max_bytes=5000))
        assert "too large: expected at most 5000 bytes" in message

    @pytest.mark.parametrize("path", ["/hang", "/drip"])
    def test_too_slow(self, server: str, path: str) -> None:
        message = failure(server + path, url_policy=UrlPolicy(timeout_s=0.2))
        assert "no complete response within 0.2 s" in message

    def test_unreachable_is_chained_from_the_cause(self) -> None:
        with pytest.raises(InvalidInputError, match="can't be downloaded") as caught:
            fetch_url("http://127.0.0.1:9/x.png", UrlPolicy(timeout_s=5))
        assert isinstance(caught.value.__cause__, OSError)

    @pytest.mark.parametrize(
        "url",
        ["file:///etc/hostname", "ftp://host/x.png", "s3://bucket/x.png", "http://", "http://[x"],
    )
    def test_only_http(self, url: str) -> None:
        assert failure(url).startswith(url)

    def test_others_go_on(self, server: str) -> None:
        inputs = [f"{server}/404", f"{server}/photo.png", picture(1)]
        assert shades(iter_sources(inputs)) == [None, 33, 1]

    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:99999999999999999999999/",
            "http://127.0.0.1:70000/",
            "http://127.0.0.1:" + "9" * 5000 + "/",
            "http://[::1/",
            "http://127.0.0.1%0d%0aX:1/",
            "http://a..b/",
            "http://" + "a" * 300 + ".com/",
        ],
    )
    @pytest.mark.parametrize("way", ["directly", "by a redirect"])
    def test_odd_urls_end_no_other_input(self, server: str, url: str, way: str) -> None:
        odd = url if way == "directly" else f"{server}/to/{url}"
        sources = list(iter_sources([picture(1), odd, picture(2)]))
        assert shades(iter(sources)) == [1, None, 2]
        assert isinstance(sources[1].error, InvalidInputError)
        assert len(str(sources[1].error)) < 1500

    @pytest.mark.parametrize("options", [{"max_bytes": 0}, {"timeout_s": 0}, {"timeout_s": -1.0}])
    def test_policy_is_checked(self, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidInputError, match="expected max_bytes of at least 1"):
            UrlPolicy(**options)


# What a hostile server sends at once, and then a byte of now and then.
_TRICKLES = {
    "head": (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"a"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "continues": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: /\r\n", b"X: y\r\n"),
}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "c.pem", folder / "k.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@contextlib.contextmanager
def _trickling(
    start: bytes, drip: bytes, tls: ssl.SSLContext | None, *, in_handshake: bool = False
) -> Iterator[int]:
    """A server that never comes to an end of its answer; its port."""
    stop = threading.Event()

    def serve_one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if tls is not None and not in_handshake:
                connection = tls.wrap_socket(connection, server_side=True)
            connection.recv(4096)
            connection.sendall(start)
            while not stop.wait(0.02):
                connection.sendall(drip)
        connection.close()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve_one, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)


_POLICIES = {
    "library": UrlPolicy(timeout_s=0.5),
    "server": UrlPolicy(timeout_s=0.5, public_only=True, private_hosts=frozenset({"localhost"})),
}


class TestTrickles:
    """A byte now and then meets no timeout of a socket's own: the fetch has one for all."""

    @pytest.fixture(autouse=True)
    def no_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("no_proxy", "*")

    @pytest.mark.parametrize("policy", _POLICIES)
    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize("where", _TRICKLES)
    def test_answers(
        self,
        tls: tuple[Path, Path],
        monkeypatch: pytest.MonkeyPatch,
        where: str,
        scheme: str,
        policy: str,
    ) -> None:
        certificate, key = tls
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        secure = context if scheme == "https" else None
        with _trickling(*_TRICKLES[where], secure) as port:
            url = f"{scheme}://localhost:{port}/"
            with pytest.raises(InvalidInputError, match="no complete response"):
                fetch_url(url, _POLICIES[policy])

    @pytest.mark.parametrize("policy", _POLICIES)
    def test_handshakes(self, policy: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        record = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"
        with (
            _trickling(record, b"\0", context, in_handshake=True) as port,
            pytest.raises(InvalidInputError, match="no complete response"),
        ):
            fetch_url(f"https://localhost:{port}/", _POLICIES[policy])

    def test_proxies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("no_proxy")
        monkeypatch.delenv("NO_PROXY", raising=False)
        with _trickling(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", None) as port:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
            with pytest.raises(InvalidInputError, match="no complete response"):
                fetch_url("https://images.invalid/", _POLICIES["library"])

    def test_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        released = threading.Event()

        def hang(*_: object, **__: object) -> None:
            released.wait(30)
            raise OSError

        monkeypatch.setattr(socket, "getaddrinfo", hang)
        with pytest.raises(InvalidInputError, match="no complete response"):
            fetch_url("http://slow.example/", _POLICIES["library"])
        released.set()

    def test_the_body_of_a_redirect_is_not_read(self) -> None:
        """It may have no end, and urllib would collect it."""
        head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\n\r\n"
        with (
            _trickling(head, b"x" * 4096, None) as port,
            pytest.raises(InvalidInputError, match="can't be downloaded"),
        ):
            fetch_url(f"http://127.0.0.1:{port}/", UrlPolicy(timeout_s=10))
