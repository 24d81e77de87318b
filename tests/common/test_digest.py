# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hpip.common import digest
from hpip.common.cache import Cache
from hpip.common.digest import file_digest, files_digest, region_digest

SIZE = 3 << 20


@pytest.fixture(autouse=True)
def _short_steps_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file systems of tests count time finely, so that a file is settled after 50 ms."""
    monkeypatch.setattr(digest, "_SETTLED_NS", 50_000_000)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model" / "inference.pdiparams"
    path.parent.mkdir()
    path.write_bytes(os.urandom(SIZE))
    time.sleep(0.1)
    return path


def right(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_remembered(path: Path, cache: Cache) -> bool:
    """Whether the digest comes from the cache: that of a file with every entry replaced does."""
    for entry in cache.entries():
        index = entry.folder / "index.json"
        index.write_text(index.read_text().replace(right(path), "f" * 64))
    found = file_digest(path, cache=cache)
    assert found in (right(path), "f" * 64)
    return found == "f" * 64


def test_the_digest_is_that_of_all_bytes_and_is_remembered(weights: Path, cache: Cache) -> None:
    assert file_digest(weights, cache=cache) == right(weights)
    assert [entry.title for entry in cache.entries()] == ["model, digest of inference.pdiparams"]
    assert is_remembered(weights, Cache(cache.base))


@pytest.mark.parametrize("size", [0, 1, 5000, (1 << 20) - 1])
def test_small_files_are_read_each_time(tmp_path: Path, cache: Cache, size: int) -> None:
    path = tmp_path / "small"
    path.write_bytes(os.urandom(size))
    time.sleep(0.1)
    assert file_digest(path, cache=cache) == right(path)
    assert cache.entries() == []


@pytest.mark.parametrize("offset", [0, 4096, 52_000, SIZE // 2, SIZE - 1])
@pytest.mark.parametrize("date", ["new", "restored"])
def test_one_byte_makes_another_digest(weights: Path, cache: Cache, offset: int, date: str) -> None:
    """Not even a tool that restores the date of the file, such as rsync, hides a change."""
    before, dates = file_digest(weights, cache=cache), weights.stat()
    with weights.open("r+b") as stream:
        stream.seek(offset)
        (value,) = stream.read(1)
        stream.seek(offset)
        stream.write(bytes([value ^ 1]))
    if date == "restored":
        os.utime(weights, ns=(dates.st_atime_ns, dates.st_mtime_ns))
        assert weights.stat().st_mtime_ns == dates.st_mtime_ns
    time.sleep(0.1)
    assert file_digest(weights, cache=cache) == right(weights) != before


def test_a_file_that_takes_the_place_is_read(weights: Path, cache: Cache) -> None:
    before, dates = file_digest(weights, cache=cache), weights.stat()
    other = weights.with_name("other")
    other.write_bytes(os.urandom(SIZE))
    os.utime(other, ns=(dates.st_atime_ns, dates.st_mtime_ns))
    other.replace(weights)
    time.sleep(0.1)
    assert file_digest(weights, cache=cache) == right(weights) != before


def test_a_link_stands_for_the_file_that_it_leads_to(weights: Path, cache: Cache) -> None:
    link = weights.with_name("link")
    link.symlink_to(weights)
    file_digest(weights, cache=cache)
    assert is_remembered(link, cache)
    other = weights.with_name("other")
    other.write_bytes(os.urandom(SIZE))
    link.unlink()
    link.symlink_to(other)
    assert file_digest(link, cache=cache) == right(other)


def test_a_file_modified_just_now_is_not_remembered(
    weights: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later change within the same step of the file system's clock would not be noticed."""
    monkeypatch.setattr(digest, "_SETTLED_NS", 3_600_000_000_000)
    assert file_digest(weights, cache=cache) == right(weights)
    assert cache.entries() == []


def test_an_old_date_does_not_make_a_new_file_old(
    weights: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "_SETTLED_NS", 3_600_000_000_000)
    os.utime(weights, (1e9, 1e9))
    file_digest(weights, cache=cache)
    assert cache.entries() == []


def test_a_file_of_the_future_is_not_remembered(weights: Path, cache: Cache) -> None:
    os.utime(weights, (4e9, 4e9))
    time.sleep(0.1)
    assert file_digest(weights, cache=cache) == right(weights)
    assert cache.entries() == []


@pytest.mark.parametrize("change", ["overwrite", "truncate", "append"])
def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    weights: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    changes: dict[str, Callable[[], object]] = {
        "overwrite": lambda: weights.write_bytes(os.urandom(SIZE)),
        "truncate": lambda: os.truncate(weights, SIZE // 2),
        "append": lambda: os.truncate(weights, SIZE + 1),
    }
    read = digest._digest

    def read_and_change(stream, *region):
        found = read(stream, *region)
        changes[change]()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(digest, "_digest", read_and_change)
        file_digest(weights, cache=cache)
    assert cache.entries() == []
    time.sleep(0.1)
    assert file_digest(weights, cache=cache) == right(weights)


def test_a_writer_that_never_rests_leaves_no_wrong_digest(weights: Path, cache: Cache) -> None:
    done = threading.Event()

    def write() -> None:
        with weights.open("r+b", buffering=0) as stream:
            while not done.is_set():
                stream.seek(SIZE - 4096)
                stream.write(os.urandom(4096))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            file_digest(weights, cache=cache)
    finally:
        done.set()
        writer.join()
    time.sleep(0.1)
    assert file_digest(weights, cache=cache) == right(weights)


def test_processes_at_once_agree(weights: Path, cache: Cache) -> None:
    code = (
        "import sys; from pathlib import Path; from hpip.common.cache import Cache;"
        "from hpip.common import digest; digest._SETTLED_NS = 0;"
        "print(digest.file_digest(Path(sys.argv[1]), cache=Cache(Path(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", code, str(weights), str(cache.base)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    found = {process.communicate()[0].strip() for process in processes}
    assert found == {right(weights)}
    assert len(cache.entries()) == 1
    assert is_remembered(weights, cache)


@pytest.mark.parametrize("kind", ["a file", "missing and unwritable"])
def test_without_a_cache_the_file_is_read_each_time(
    weights: Path, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    base = tmp_path / "in the way"
    base.write_text("")
    cache = Cache(base if kind == "a file" else base / "below")
    for _ in range(2):
        assert file_digest(weights, cache=cache) == right(weights)
    assert caplog.text == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_cache_gives_what_it_has_and_takes_nothing(weights: Path, cache: Cache) -> None:
    file_digest(weights, cache=cache)
    other = weights.with_name("other")
    other.write_bytes(os.urandom(SIZE))
    cache.root.chmod(0o500)
    try:
        assert file_digest(other, cache=cache) == right(other)
        assert file_digest(weights, cache=cache) == right(weights)
    finally:
        cache.root.chmod(0o700)
    assert len(cache.entries()) == 1


@pytest.mark.parametrize("damage", ['{"files": {}, "record": {}}', "{", "[]"])
def test_a_damaged_entry_is_made_anew(weights: Path, cache: Cache, damage: str) -> None:
    file_digest(weights, cache=cache)
    (entry,) = cache.entries()
    (entry.folder / "index.json").write_text(damage)
    assert file_digest(weights, cache=cache) == right(weights)
    assert is_remembered(weights, cache)


def test_names_that_are_not_text(tmp_path: Path, cache: Cache) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe")
    path.write_bytes(os.urandom(SIZE))
    time.sleep(0.1)
    assert file_digest(path, cache=cache) == right(path)
    assert is_remembered(path, cache)


def test_a_missing_file_is_an_error(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(FileNotFoundError):
        file_digest(tmp_path / "missing", cache=cache)


def test_files_have_one_digest_that_depends_on_where_each_ends(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    found = []
    for texts in (("ab", "c"), ("a", "bc"), ("c", "ab")):
        for path, text in zip((first, second), texts, strict=True):
            path.write_text(text)
        found.append(files_digest((first, second)))
    assert len(set(found)) == 3


def test_the_digest_of_a_part_is_that_of_its_bytes(tmp_path: Path, fresh_cache: Path) -> None:
    path = tmp_path / "weights.bin"
    data = bytes(range(256)) * 12_000
    path.write_bytes(data)
    os.utime(path, (1, 1))
    for start, size_bytes in ((0, None), (0, len(data)), (7, 1 << 20), (2_000_000, None), (5, 0)):
        end = None if size_bytes is None else start + size_bytes
        expected = hashlib.sha256(data[start:end]).hexdigest()
        for _ in range(2):
            assert region_digest(path, start, size_bytes) == expected
