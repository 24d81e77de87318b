# SPDX-License-Identifier: Apache-2.0
"""The contender's end of the line: requests come in, replies go out, one JSON object a line.

Runs in interpreters without hpip: it needs the standard library alone.
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
    """This contender can't do what it is asked for here: an engine or a device is missing."""


def serve(handlers: Mapping[str, Handler]) -> None:
    """Answer requests until the other end hangs up.

    A request names its handler under "do". A reply is what the handler returns, or `error`, with
    `refused` when it was a `RefusalError`. What anybody prints goes to stderr.
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
    """Resident memory of this process, now and at its peak, in bytes; None where unknown.

    Not `ru_maxrss`: that one starts at the size of the process that launched this one.
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


class Clock:
    """Wall time, and the processor time of all of this process's threads, in milliseconds."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def wall_ms(self) -> float:
        """Since this was made."""
        return (time.perf_counter() - self._wall) * 1e3

    def cpu_ms(self) -> float:
        """Since this was made."""
        return (time.process_time() - self._cpu) * 1e3
