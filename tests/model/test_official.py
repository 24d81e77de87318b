# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import logging
import os
import socket
import subprocess
import sys
import tarfile
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import hpip.model.download
from hpip.errors import InvalidInputError, ModelFormatError, ModelNotFoundError
from hpip.model.official import find_model, official_models

NAME = "Mask-RT-DETR-S"
FILES = {
    "inference.yml": b"Global: {}\n",
    "inference.json": b"{}" * 50_000,
    "inference.pdiparams": bytes(range(256)) * 2_000,
}


def make_tar(members=None, top="Mask-RT-DETR-S_infer/", **options) -> bytes:
    """A tar of `members` (TarInfo or name -> content) in memory; by default a good model."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as tar:
        for name, content in (FILES if members is None else members).items():
            entry = tarfile.TarInfo(f"{top}{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    """Serves one body under every path, and misbehaves as told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = make_tar()
        self.modified = 1_700_000_000
        self.cut_after: list[int] = []  # bytes to send before hanging up, one per answer
        self.statuses: list[int] = []  # error statuses to send first, one per answer
        self.hold = threading.Event()  # answers wait for it
        self.hold.set()
        self.requests: list[tuple[str, str | None]] = []  # path and Range of every request
        self.sent_bytes = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/models"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.requests.append((self.path, wanted))
        server.hold.wait(20)
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        date = formatdate(server.modified, usegmt=True)
        start = 0
        if wanted and self.headers.get("If-Range", date) == date:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(server.body):
            self.send_error(416)
            return
        body = server.body[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", date)
        self.end_headers()
        if server.cut_after:
            body = body[: server.cut_after.pop(0)]
        self.wfile.write(body)
        server.sent_bytes += len(body)

    def log_message(self, *args):
        """Keep the tests' stderr clean."""


@pytest.fixture
def server(monkeypatch):
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HPIP_MODEL_BASE_URL", server.url)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """PaddleX's cache, empty; pauses between attempts are left out."""
    monkeypatch.setenv("PADDLE_PDX_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(hpip.model.download, "_FIRST_PAUSE_S", 0.0)
    return tmp_path / "home" / "official_models"


@pytest.fixture
def closed_port(monkeypatch) -> None:
    """Nothing listens at the base URL, which stands for a machine without a network."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setenv("HPIP_MODEL_BASE_URL", f"http://127.0.0.1:{port}")


def put_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def visible_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_the_shipped_list_names_the_15_models(monkeypatch):
    monkeypatch.delenv("HPIP_MODEL_BASE_URL", raising=False)
    official = official_models()
    assert len(set(official.names)) == 15
    url = official.archive_url("SOLOv2")
    assert url.startswith("https://")
    assert url.endswith("/paddle3.0.0/SOLOv2_infer.tar")


def test_a_given_directory_wins_and_nothing_else_is_looked_at(closed_port, tmp_path):
    assert find_model(NAME, tmp_path / "mine") == tmp_path / "mine"
    assert find_model("a name of my own", str(tmp_path)) == tmp_path
    assert find_model(NAME, "~/mine") == Path.home() / "mine"


def test_a_cached_model_needs_no_network(closed_port, cache):
    folder = put_model(cache / NAME)
    assert find_model(NAME) == folder


def test_an_incomplete_cached_model_is_named(closed_port, cache):
    folder = put_model(cache / NAME)
    (folder / "inference.pdiparams").unlink()
    with pytest.raises(ModelFormatError, match=r"lacks inference.pdiparams: .* Or delete"):
        find_model(NAME)


def test_a_good_download(server, cache):
    folder = find_model(NAME)

    assert folder == cache / NAME
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert server.requests == [(f"/models/paddle3.0.0/{NAME}_infer.tar", None)]
    assert visible_names(cache) == [NAME]
    assert find_model(NAME) == folder
    assert len(server.requests) == 1


@pytest.mark.parametrize("top", ["", "./", "another/"])
def test_the_archives_top_folder_does_not_matter(server, top):
    server.body = make_tar(top=top)
    assert visible_names(find_model(NAME)) == sorted(FILES)


def test_a_broken_connection_is_resumed_where_it_broke(server, cache):
    server.cut_after = [100_000, 50_000]

    folder = find_model(NAME)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert [wanted for _, wanted in server.requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert server.sent_bytes == len(server.body)


def test_a_later_call_resumes_what_an_earlier_one_left(server, cache):
    server.cut_after = [100_000, 0, 0, 0]
    with pytest.raises(
        ModelNotFoundError, match=r"received 100000 of \d+ bytes \(after 4 attempts\)"
    ):
        find_model(NAME)
    assert visible_names(cache) == [f".{NAME}_infer.tar.part"]

    assert visible_names(find_model(NAME)) == sorted(FILES)
    assert server.sent_bytes == len(server.body)
    assert visible_names(cache) == [NAME]


def test_a_file_that_changed_on_the_server_is_fetched_whole(server, cache):
    server.cut_after = [100_000, 0, 0, 0]
    with pytest.raises(ModelNotFoundError):
        find_model(NAME)
    server.body = make_tar({**FILES, "inference.json": b"[]" * 60_000})
    server.modified += 60

    assert (find_model(NAME) / "inference.json").read_bytes() == b"[]" * 60_000


def test_a_partial_file_longer_than_the_servers_is_dropped(server, cache):
    cache.mkdir(parents=True)
    part = cache / f".{NAME}_infer.tar.part"
    part.write_bytes(bytes(len(server.body) + 1))
    os.utime(part, (server.modified, server.modified))

    assert visible_names(find_model(NAME)) == sorted(FILES)
    assert len(server.requests) == 2


def test_a_busy_server_is_asked_again(server):
    server.statuses = [503, 500, 429]
    assert visible_names(find_model(NAME)) == sorted(FILES)
    assert len(server.requests) == 4


def test_a_server_that_always_hangs_up_early(server):
    server.cut_after = [1000, 0, 0, 0]
    with pytest.raises(ModelNotFoundError, match="received 1000 of"):
        find_model(NAME)


def test_what_the_server_does_not_have_is_not_asked_for_again(server, cache):
    server.statuses = [404]
    with pytest.raises(ModelNotFoundError, match="HTTP Error 404") as failure:
        find_model(NAME)
    assert server.url in str(failure.value)
    assert len(server.requests) == 1
    assert visible_names(cache) == []


def test_without_a_network_the_error_says_what_to_put_where(closed_port, cache):
    with pytest.raises(ModelNotFoundError) as failure:
        find_model(NAME)
    message = str(failure.value)
    for part in (str(cache / NAME), *FILES, "inference.pdmodel", "--model_dir", "--model demo"):
        assert part in message
    assert isinstance(failure.value, FileNotFoundError)


@pytest.mark.parametrize(
    "body",
    [b"<html>not found</html>" * 100, make_tar()[:700], make_tar()[:60_000]],
    ids=["a web page", "cut in a header", "cut in a file"],
)
def test_a_damaged_archive_leaves_nothing_behind(server, cache, body):
    good, server.body = server.body, body
    with pytest.raises(ModelFormatError):
        find_model(NAME)
    assert visible_names(cache) == []

    server.body = good
    assert visible_names(find_model(NAME)) == sorted(FILES)


def test_an_archive_without_the_models_files(server, cache):
    server.body = make_tar({"readme.txt": b"hello"})
    with pytest.raises(ModelFormatError, match=r"lacks .*inference.pdiparams"):
        find_model(NAME)
    assert visible_names(cache) == []


def special_member(kind: bytes, target: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("Mask-RT-DETR-S_infer/inference.yml")
        entry.type, entry.linkname = kind, target
        tar.addfile(entry)
    return buffer.getvalue()


HOSTILE = {
    "parent": make_tar({"../../outside": b"x"}),
    "absolute": make_tar({"tmp/outside": b"x"}, top="/"),
    "hidden parent": make_tar({"a/../../outside": b"x"}),
    "symbolic link": special_member(tarfile.SYMTYPE, "/etc/passwd"),
    "hard link": special_member(tarfile.LNKTYPE, "../../outside"),
    "pipe": special_member(tarfile.FIFOTYPE),
    "device": special_member(tarfile.CHRTYPE),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_archive_is_refused(server, cache, tmp_path, body):
    server.body = body
    with pytest.raises(ModelFormatError, match=r"the archive contains a .*does not extract it"):
        find_model(NAME)
    assert visible_names(cache) == []
    assert not list(tmp_path.rglob("outside"))


def test_two_processes_at_once_download_once(server, cache):
    server.hold.clear()
    script = (
        "from hpip.model.official import find_model\n"
        f"print('ready', flush=True); print(find_model({NAME!r}))\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    server.hold.set()

    outputs = [process.communicate(timeout=30)[0].strip() for process in processes]

    assert outputs == [str(cache / NAME)] * 2
    assert len(server.requests) == 1
    assert visible_names(cache) == [NAME]


def test_threads_at_once_download_once(server, cache):
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(find_model(NAME))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / NAME] * 4
    assert len(server.requests) == 1


def test_a_cache_that_cannot_be_made(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PADDLE_PDX_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelNotFoundError, match="PADDLE_PDX_CACHE_HOME another cache folder"):
        find_model(NAME)
    assert server.requests == []


def test_a_read_only_cache(server, cache):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    cache.mkdir(parents=True)
    cache.chmod(0o555)
    with pytest.raises(ModelNotFoundError, match="Permission denied"):
        find_model(NAME)
    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("mask-rt-detr-s", "Did you mean Mask-RT-DETR-S"),
        ("MaskRCNN-ResNet50_FPN", "Did you mean MaskRCNN-ResNet50-FPN"),
        ("SOLO", "Did you mean SOLOv2"),
    ],
)
def test_an_unknown_name_lists_close_ones(closed_port, name, guess):
    with pytest.raises(ModelNotFoundError, match=f"unknown model '{name}'. {guess}"):
        find_model(name)


@pytest.mark.parametrize("name", ["", "zzz", "../SOLOv2", "/etc"])
def test_a_name_that_is_not_official_lists_all(closed_port, name):
    with pytest.raises(ModelNotFoundError, match=r"unknown model '.*'.* Expected one of Mask-RT"):
        find_model(name)


def test_a_base_url_that_is_no_web_address(monkeypatch):
    monkeypatch.setenv("HPIP_MODEL_BASE_URL", "file:///models")
    with pytest.raises(InvalidInputError, match="HPIP_MODEL_BASE_URL: expected an http"):
        find_model(NAME)


def test_a_download_is_logged(server, caplog):
    with caplog.at_level(logging.INFO, logger="hpip"):
        find_model(NAME)
    assert f"downloading {NAME} from {server.url}" in caplog.text


def test_the_demo_needs_no_network(closed_port):
    try:
        folder = find_model("demo")
    except ModelNotFoundError as error:
        pytest.skip(str(error))
    assert (folder / "inference.yml").is_file()
