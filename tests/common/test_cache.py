# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hpip.common.cache import CACHE_VARIABLE, Cache, content_key, default_cache_dir

FILES = {"inference.json": b"{}", "more": b"abc"}


def test_an_entry_comes_back(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.load("k") is None
    folder = cache.store("k", {"title": "t", "n": 1}, FILES)
    loaded = Cache(tmp_path).load("k")
    assert loaded == (folder, {"title": "t", "n": 1})
    assert (folder / "more").read_bytes() == b"abc"
    assert [(entry.key, entry.title) for entry in cache.entries()] == [("k", "t")]
    assert cache.clear() > 0
    assert cache.load("k") is None
    assert cache.entries() == []
    assert cache.clear() == 0


@pytest.mark.parametrize("damage", ["truncate", "remove", "index", "foreign"])
def test_a_damaged_entry_is_made_anew(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path)
    folder = cache.store("k", {}, FILES)
    if damage == "truncate":
        (folder / "more").write_bytes(b"ab")
    elif damage == "remove":
        (folder / "more").unlink()
    elif damage == "index":
        (folder / "index.json").write_text("{")
    else:
        (folder / "index.json").write_text("[1]")
    with caplog.at_level(logging.WARNING):
        assert cache.load("k") is None
    assert "damaged" in caplog.text
    assert cache.store("k", {}, FILES).joinpath("more").read_bytes() == b"abc"
    assert cache.load("k") is not None


def test_writers_at_the_same_time_agree(tmp_path: Path) -> None:
    def work(_: int) -> bool:
        cache = Cache(tmp_path)
        cache.store("k", {}, FILES)
        return cache.load("k") is not None

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(32)))
    assert [path.name for path in (tmp_path / "graph").iterdir()] == ["k"]


def test_a_cache_that_is_no_folder_costs_speed_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "graph").write_text("in the way")
    cache = Cache(tmp_path)
    with caplog.at_level(logging.WARNING):
        folder = cache.store("k", {"a": 1}, FILES)
    assert "can't be written" in caplog.text
    assert (folder / "more").read_bytes() == b"abc"
    assert cache.load("k") == (folder, {"a": 1})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_cache_costs_speed_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert Cache(tmp_path).store("k", {}, FILES).is_dir()
    finally:
        tmp_path.chmod(0o700)


def test_the_environment_chooses_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPIP_CACHE_DIR", "/somewhere")
    assert default_cache_dir() == Path("/somewhere")
    monkeypatch.delenv("HPIP_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_cache_dir() == Path("/cache/hpip")


def test_keys_depend_on_every_part_and_on_where_it_ends() -> None:
    assert content_key("ab", "c") != content_key("a", "bc")
    assert content_key("a", b"b") == content_key(b"a", "b")


def test_a_relative_cache_folder_is_resolved_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "mine")
    monkeypatch.chdir(tmp_path)
    assert default_cache_dir() == tmp_path / "mine"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert default_cache_dir() == tmp_path / "mine"
    assert os.environ[CACHE_VARIABLE] == str(tmp_path / "mine")


def test_a_relative_xdg_folder_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / ".cache" / "hpip"


def test_a_user_without_a_home_gets_a_temporary_cache_and_one_warning() -> None:
    code = (
        "import os; os.getuid = lambda: 54321; os.environ.pop('HOME', None);"
        "from hpip.common.cache import default_cache_dir;"
        "first = default_cache_dir(); assert first == default_cache_dir(); print(first)"
    )
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in (CACHE_VARIABLE, "XDG_CACHE_HOME", "HOME")
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept, capture_output=True, text=True, check=True
    )
    assert done.stderr.count("no cache folder") == 1
    assert not Path(done.stdout.strip()).exists()


@pytest.mark.parametrize("kind", ["pipe", "file", "empty folder", "link", "pipe as index"])
def test_what_is_no_entry_is_made_anew(tmp_path: Path, kind: str) -> None:
    cache = Cache(tmp_path)
    place = tmp_path / "graph" / "key"
    place.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "file":
        place.write_text("in the way")
    elif kind == "link":
        place.symlink_to("nowhere")
    else:
        place.mkdir()
        if kind == "pipe as index":
            os.mkfifo(place / "index.json")
    assert cache.load("key") is None
    folder = cache.store("key", {"title": "t"}, {"a": b"1"})
    assert folder == place
    loaded = cache.load("key")
    assert loaded is not None
    assert loaded[1] == {"title": "t"}


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_file_of_an_entry_that_is_none(tmp_path: Path, kind: str) -> None:
    cache = Cache(tmp_path)
    folder = cache.store("key", {}, {"a": b"1"})
    (folder / "a").unlink()
    if kind == "pipe":
        os.mkfifo(folder / "a")
    else:
        (folder / "a").mkdir()
    assert cache.load("key") is None
    assert cache.store("key", {}, {"a": b"1"}) == folder
    assert cache.load("key") is not None
