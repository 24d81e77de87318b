# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpip.common.file_lock import file_lock

ROOT = Path(__file__).resolve().parents[2]
# Holds the lock until its standard input ends.
HOLDER = """
import sys
from pathlib import Path
from hpip.common.file_lock import file_lock
with file_lock(Path(sys.argv[1]), on_wait=lambda: None) as held:
    print("held", flush=True)
    sys.stdin.read()
"""
# Forks within the block; the child leaves it, or stays in it until the input ends. The parent
# leaves it at SIGUSR1.
FORKING = """
import os, signal, sys
from pathlib import Path
from hpip.common.file_lock import file_lock
leaves = sys.argv[2] == "leaves"
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
with file_lock(Path(sys.argv[1]), on_wait=lambda: None):
    child = os.fork()
    if child == 0 and not leaves:
        print("forked", flush=True)
        sys.stdin.read()
        os._exit(0)
    if child and leaves:
        os.waitpid(child, 0)
        print("forked", flush=True)
    if child:
        signal.sigwait({signal.SIGUSR1})
if child == 0:
    os._exit(0)
print("released", flush=True)
sys.stdin.read()
"""


@contextmanager
def process(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that waits for its input, after its first line of output."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline()
            yield running
        finally:
            running.kill()


def is_free(path: Path) -> bool:
    """Whether another process could work now."""
    with file_lock(path, on_wait=lambda: None, waits_for_s=0) as may_work:
        return may_work


def test_one_process_works_and_another_waits_until_its_timeout(tmp_path: Path) -> None:
    lock, waited = tmp_path / "lock", []
    with process(HOLDER, str(lock)):
        with file_lock(lock, on_wait=lambda: waited.append(True), waits_for_s=0.5) as may_work:
            assert not may_work
        assert waited == [True]
    assert is_free(lock)


@pytest.mark.parametrize("waits_for_s", [None, 60.0])
def test_the_next_one_works_when_the_first_is_done(
    tmp_path: Path, waits_for_s: float | None
) -> None:
    lock = tmp_path / "lock"
    with process(HOLDER, str(lock)) as holder:
        assert holder.stdin is not None
        # The holder ends as soon as this process waits for it.
        with file_lock(lock, on_wait=holder.stdin.close, waits_for_s=waits_for_s) as may_work:
            assert may_work
            assert holder.wait() == 0


def test_a_process_that_dies_frees_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with process(HOLDER, str(lock)) as holder:
        assert not is_free(lock)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert is_free(lock)


def test_an_error_within_the_block_frees_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with pytest.raises(ZeroDivisionError), file_lock(lock, on_wait=lambda: None):
        raise ZeroDivisionError
    with process(HOLDER, str(lock)):
        pass


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    inside, most = [], []

    def work() -> None:
        with file_lock(tmp_path / "lock", on_wait=lambda: None) as may_work:
            assert may_work
            inside.append(True)
            most.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_a_child_that_was_forked_in_the_block_does_not_free_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with process(FORKING, str(lock), "leaves"):
        assert not is_free(lock)


@pytest.mark.parametrize("end", ["released", "killed"])
def test_a_child_that_was_forked_in_the_block_does_not_keep_the_lock(
    tmp_path: Path, end: str
) -> None:
    lock = tmp_path / "lock"
    with process(FORKING, str(lock), "stays") as parent:
        assert parent.stdout is not None
        assert not is_free(lock)
        if end == "released":
            parent.send_signal(signal.SIGUSR1)
            assert parent.stdout.readline() == "released\n"
        else:
            parent.kill()
            parent.wait()
        assert is_free(lock)


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    lock = tmp_path / "a" / "b" / "lock"
    with file_lock(lock, on_wait=lambda: None) as may_work:
        assert may_work
        with process(HOLDER, str(tmp_path / "a" / "b" / "other")):
            assert lock.exists()


@pytest.mark.parametrize("kind", ["a file in the way", "a folder"])
def test_without_a_lock_file_the_block_runs_without_a_lock(tmp_path: Path, kind: str) -> None:
    lock = tmp_path / "in the way"
    if kind == "a folder":
        lock.mkdir()
    else:
        lock.write_text("")
        lock = lock / "lock"
    with file_lock(lock, on_wait=pytest.fail, waits_for_s=0) as may_work:
        assert may_work
        assert is_free(lock)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_in_a_read_only_folder_the_block_runs_without_a_lock(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with file_lock(tmp_path / "lock", on_wait=pytest.fail) as may_work:
            assert may_work
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_on_a_file_system_without_locks_the_block_runs_without_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    lock = tmp_path / "lock"
    with file_lock(lock, on_wait=pytest.fail) as may_work:
        assert may_work
        assert is_free(lock)
    assert is_free(lock)


def test_hpip_imports_the_library_at_use_only() -> None:
    code = "import sys, hpip, hpip.cli.app, hpip.inference.tuning.tune; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "filelock" not in done.stdout.split()
