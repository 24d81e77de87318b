# SPDX-License-Identifier: Apache-2.0
"""The contender's side of the protocol: requests and replies, one JSON object per line.

It runs in interpreters without hpip, and needs only the standard library.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Handler = Callable[[dict[str, Any]], dict[str, Any]]


class RefusalError(Exception):
    """The contender is not available: an engine or a device is missing."""


def serve(handlers: Mapping[str, Handler]) -> None:
    """Handle requests from stdin until it is closed.

    The key "do" of a request names its handler. The reply is the handler's result, or the keys
    `error` and `refused` (true for a `RefusalError`). Other output to stdout is redirected to
    stderr.
    """
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as replies:
        os.dup2(2, 1)
        for line in sys.stdin:
            request = json.loads(line)
            try:
                reply = handlers[request["do"]](request)
            except Exception as error:
                traceback.print_exc()
                text = str(error) or type(error).__name__
                reply = {"error": text, "refused": isinstance(error, RefusalError)}
            print(json.dumps(reply), file=replies, flush=True)


def memory(_request: dict[str, Any]) -> dict[str, Any]:
    """Current and peak resident memory of this process in bytes; None if unknown.

    `ru_maxrss` is not used, because it starts at the size of the parent process.
    """
    found = {"VmRSS": None, "VmHWM": None}
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name in found:
                found[name] = int(value.split()[0]) * 1024  # type: ignore[assignment]
    except OSError:
        pass
    return {"rss_bytes": found["VmRSS"], "peak_rss_bytes": found["VmHWM"]}


class RunTimer:
    """Measures wall time and the CPU time of all threads of this process, in milliseconds."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def wall_ms(self) -> float:
        """Wall time since the start."""
        return (time.perf_counter() - self._wall) * 1e3

    def cpu_ms(self) -> float:
        """CPU time since the start."""
        return (time.process_time() - self._cpu) * 1e3
