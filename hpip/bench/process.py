# SPDX-License-Identifier: Apache-2.0
"""A contender's process, seen from the benchmark."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpip.common.closing import Closing
from hpip.errors import HpipError

_LAST_WORDS = 300


class ContenderError(HpipError, RuntimeError):
    """A contender failed: its request raised, or its process died or hung.

    Attributes:
        refused: the contender can't do this here (an engine is missing); nothing is broken.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        self.refused = refused
        super().__init__(message)


class ContenderProcess(Closing):
    """Starts a process that answers requests; killed with all it started when closed.

    Args:
        command: program and arguments; it speaks as `hpip.bench.contenders.channel` does.
        cwd: where it runs; Python looks for modules there first.
        environment: variables beside this process's own.
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
                # Ctrl-C is for the benchmark, which then asks its contenders to stop.
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise ContenderError(f"{command[0]} can't be started: {error}") from error
        self._replies: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        """Of the process, for tools that watch it."""
        return self._process.pid

    def ask(self, do: str, *, timeout_s: float, **request: Any) -> dict[str, Any]:
        """One request and its reply.

        Raises:
            ContenderError: the request failed, or the process died, or gave no answer in time and
                was killed.
        """
        assert self._process.stdin is not None
        try:
            print(json.dumps({"do": do, **request}), file=self._process.stdin, flush=True)
        except OSError as error:
            raise ContenderError(self._obituary(do)) from error
        try:
            line = self._replies.get(timeout=timeout_s)
        except queue.Empty:
            self._kill()
            raise ContenderError(
                f"no answer to {do!r} within {timeout_s:g} s: it hangs or is too slow; killed."
                " --timeout-s allows more."
            ) from None
        if not line:
            raise ContenderError(self._obituary(do))
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise ContenderError(reply["error"], refused=bool(reply.get("refused")))
        return reply

    def close(self) -> None:
        """End the process. Twice does nothing."""
        self._kill()
        self._stderr.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._replies.put(line)
        self._replies.put("")

    def _kill(self) -> None:
        """The process and its children: a contender may have children of its own."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _obituary(self, do: str) -> str:
        code = self._process.wait()
        how = f"exit code {code}"
        if code < 0:
            how = f"signal {signal.Signals(-code).name}"
            if -code == signal.SIGKILL:
                how += ", perhaps for want of memory"
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines() or ["no message"]
        return f"its process died at {do!r} ({how}): {lines[-1][-_LAST_WORDS:]}"


def start_worker(
    module: str,
    foreign_python: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> ContenderProcess:
    """Start a contender module, in this interpreter or in another.

    A foreign interpreter sees the contenders' package alone, behind everything of its own, so that
    no file of this hpip takes the place of a library there.

    Args:
        module: of the package of contenders.
        foreign_python: the other interpreter.
        environment: variables beside this process's own.

    Raises:
        ContenderError: the interpreter can't be started.
    """
    package = Path(__file__).parent / "contenders"
    if foreign_python is None:
        command = [sys.executable, "-m", f"hpip.bench.contenders.{module}"]
        # Where this package lies, not a source tree of the same name that the user stands in.
        return ContenderProcess(command, Path(__file__).resolve().parents[2], environment)
    code = (
        f"import sys, runpy; sys.path.append({str(package.parent)!r});"
        f"runpy.run_module('contenders.{module}', run_name='__main__')"
    )
    return ContenderProcess([foreign_python, "-c", code], Path("/"), environment)
