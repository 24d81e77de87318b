# SPDX-License-Identifier: Apache-2.0
"""Starts the process of a contender, and exchanges requests and replies with it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpip.common.closing import Closing
from hpip.common.interpreter import child_command
from hpip.common.processes import kill_session
from hpip.errors import HpipError

_STDERR_TAIL = 300


class ContenderError(HpipError, RuntimeError):
    """A contender failed: its request raised, or its process died or hung.

    Attributes:
        refused: the contender is not available here, for example because its engine is missing.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        self.refused = refused
        super().__init__(message)


class ContenderProcess(Closing):
    """A process that replies to requests; closing it kills it and its child processes.

    Args:
        command: program and arguments; its protocol is that of `hpip.bench.contenders.channel`.
        cwd: working directory, which is also first in Python's module path.
        environment: variables in addition to this process's own.
    """

    def __init__(
        self, command: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env={**os.environ, **(environment or {})},
                text=True,
                encoding="utf-8",
                cwd=cwd,
                # Ctrl-C must interrupt only the benchmark, which then closes its contenders.
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise ContenderError(f"{command[0]} can't be started: {error}") from error
        self._replies: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def ask(self, do: str, *, timeout_s: float, **request: Any) -> dict[str, Any]:
        """Send a request, and return the reply.

        Raises:
            ContenderError: the request failed, the process died, or it was killed because it did
                not reply in time.
        """
        assert self._process.stdin is not None
        try:
            print(json.dumps({"do": do, **request}), file=self._process.stdin, flush=True)
        except OSError as error:
            raise ContenderError(self._exit_message(do)) from error
        try:
            line = self._replies.get(timeout=timeout_s)
        except queue.Empty:
            self._kill()
            raise ContenderError(
                f"no reply to {do!r} within {timeout_s:g} s: the process hung or was too slow, so"
                " it was killed. --timeout-s raises the limit."
            ) from None
        if not line:
            raise ContenderError(self._exit_message(do))
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise ContenderError(reply["error"], refused=bool(reply.get("refused")))
        return reply

    def close(self) -> None:
        """Kill the process; further calls do nothing."""
        self._kill()
        self._stderr.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._replies.put(line)
        self._replies.put("")

    def _kill(self) -> None:
        """Kill the process group, because a contender may have child processes."""
        kill_session(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _exit_message(self, do: str) -> str:
        code = self._process.wait()
        how = f"exit code {code}"
        if code < 0:
            name = signal.Signals(-code).name
            how = f"signal {name}"
            if name == "SIGKILL":
                how += ", probably out of memory"
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines() or [
            "no output on stderr"
        ]
        return f"the process died at {do!r} ({how}): {lines[-1][-_STDERR_TAIL:]}"


def start_worker(
    module: str,
    foreign_python: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> ContenderProcess:
    """Start a contender module, in this interpreter or in another.

    Another interpreter gets only the contenders' package, at the end of its module path, so that
    no module of this hpip shadows one of its libraries.

    Args:
        module: name in the package `hpip.bench.contenders`.
        foreign_python: the other interpreter; None for this one.
        environment: variables in addition to this process's own.

    Raises:
        ContenderError: the interpreter can't be started.
    """
    package = Path(__file__).parent / "contenders"
    if foreign_python is None:
        command = child_command(f"hpip.bench.contenders.{module}")
        if command is None:
            raise ContenderError("this application has no Python interpreter to start")
        return ContenderProcess(command, Path("/"), environment)
    code = (
        f"import sys, runpy; sys.path.append({str(package.parent)!r});"
        f"runpy.run_module('contenders.{module}', run_name='__main__')"
    )
    return ContenderProcess([foreign_python, "-c", code], Path("/"), environment)
