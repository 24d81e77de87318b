# SPDX-License-Identifier: Apache-2.0
"""Starts hpip's or PaddleX's server as a process, and reads its memory and CPU time."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_URL = re.compile(r"http://\S+")
_POLL_S = 0.2


@dataclass(frozen=True)
class RunningServer:
    """A server that is ready.

    Attributes:
        url: address without a trailing slash.
        pid: process id of the main process.
        log: file with its stdout and stderr.
    """

    url: str
    pid: int
    log: Path

    def rss_bytes(self) -> int:
        """Resident memory of the process and all its descendants."""
        pages = 0
        for pid in _tree(self.pid):
            with contextlib.suppress(OSError):  # it ended meanwhile
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def children(self) -> list[int]:
        """Process ids of all descendants."""
        return _tree(self.pid)[1:]

    def cpu_s(self) -> float:
        """CPU time of the process and all its descendants so far."""
        ticks = 0
        for pid in _tree(self.pid):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def hpip_server(
    flags: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    ready_within_s: float = 300.0,
) -> Iterator[RunningServer]:
    """Run `hpip serve --port 0` with these flags, which must include the model.

    Raises:
        RuntimeError: the server exited or was not ready in time; the message has the end of its
            log.
    """
    command = [sys.executable, "-m", "hpip", "serve", "--port", "0", *flags]
    with _running(command, log, env) as process:
        deadline_s = time.monotonic() + ready_within_s
        url = _wait_for(lambda: _printed_url(log), process, log, deadline_s)
        _wait_for(lambda: _is_ok(f"{url}/health/ready"), process, log, deadline_s)
        yield RunningServer(url, process.pid, log)


@contextlib.contextmanager
def paddlex_server(
    python: Path, pipeline_file: Path, log: Path, *, ready_within_s: float = 300.0
) -> Iterator[RunningServer]:
    """Run PaddleX's basic server in an environment with its serving plug-in.

    Raises:
        RuntimeError: see `hpip_server`.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [str(python), "-m", "paddlex", "--serve", "--pipeline", str(pipeline_file)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with _running(command, log, None) as process:
        url = f"http://127.0.0.1:{port}"
        deadline_s = time.monotonic() + ready_within_s
        _wait_for(lambda: _is_ok(f"{url}/health"), process, log, deadline_s)
        yield RunningServer(url, process.pid, log)


@contextlib.contextmanager
def _running(
    command: Sequence[str], log: Path, env: Mapping[str, str] | None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(
    probe: Callable[[], T], process: subprocess.Popen[bytes], log: Path, deadline_s: float
) -> T:
    while not (found := probe()):
        if process.poll() is not None or time.monotonic() > deadline_s:
            what = "exited" if process.poll() is not None else "was not ready in time"
            end = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the server {what}; its log ends with:\n{end}")
        time.sleep(_POLL_S)
    return found


def _printed_url(log: Path) -> str:
    match = _URL.search(log.read_text(errors="replace"))
    return match.group().rstrip("/") if match else ""


def _is_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _tree(pid: int) -> list[int]:
    pids = [pid]
    for known in pids:  # grows while it is walked
        for file in Path(f"/proc/{known}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                pids += map(int, file.read_text().split())
    return pids
