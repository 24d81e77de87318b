# SPDX-License-Identifier: Apache-2.0
"""A real `hpip serve` process to test against."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np

WAIT_S = 180.0
_POLL_S = 0.02


class LiveServer:
    """Starts `hpip serve` on a free port; returns before the model is loaded.

    Args:
        arguments: flags beside `--port`.
        command: of `hpip`; none for PaddleX's own flags.
        python: the interpreter.
        variables: environment beside this process's own.
    """

    def __init__(
        self,
        *arguments: str,
        command: tuple[str, ...] = ("serve",),
        python: str | Path = sys.executable,
        **variables: str,
    ) -> None:
        self.process = subprocess.Popen(
            [python, "-m", "hpip", *command, "--port", "0", *arguments],
            env={**os.environ, "HPIP_LOG": "info", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.messages: list[str] = []
        self.access_log: list[dict[str, Any]] = []
        self._readers = [
            threading.Thread(target=self._read_messages, daemon=True),
            threading.Thread(target=self._read_access_log, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_messages(self) -> None:
        assert self.process.stderr is not None
        self.messages.extend(iter(self.process.stderr.readline, ""))

    def _read_access_log(self) -> None:
        assert self.process.stdout is not None
        self.access_log.extend(map(json.loads, iter(self.process.stdout.readline, "")))

    @property
    def url(self) -> str:
        """Where it listens, with a slash at the end."""
        lines = wait_for(lambda: self._ended() or [m for m in self.messages if "serves on" in m])
        match = re.search(r"http://\S+", lines[0])
        assert match is not None
        return match.group()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").rstrip("/").split(":")
        return host, int(port)

    def _ended(self) -> bool:
        assert self.process.poll() is None, "".join(self.messages)
        return False

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **options)

    def status(self) -> dict[str, Any]:
        """Body of /health/ready."""
        # Not by httpx: what a client of its costs at its start adds up while a test polls.
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/health/ready")
            body: dict[str, Any] = json.loads(connection.getresponse().read())
            return body

    def wait_until_ready(self, workers: int = 1) -> LiveServer:
        wait_for(lambda: self.status()["readyWorkers"] >= workers)
        return self

    def worker_pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def signal_workers(self, number: signal.Signals) -> None:
        for pid in self.worker_pids():
            os.kill(pid, number)

    def stop(self) -> int:
        """Send SIGTERM and wait; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(60)
        for reader in self._readers:
            reader.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code

    def __enter__(self) -> LiveServer:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.signal_workers(signal.SIGCONT)
            self.process.kill()
        self.wait()


def wait_for(condition: Any, timeout_s: float = WAIT_S) -> Any:
    """Poll until the condition gives something true, and return it."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if found := condition():
            return found
        time.sleep(_POLL_S)
    raise AssertionError(f"nothing came within {timeout_s:g} s")


def encoded(picture: np.ndarray, suffix: str = ".png") -> bytes:
    done, data = cv2.imencode(suffix, picture)
    assert done
    return data.tobytes()


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()
