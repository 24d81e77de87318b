# SPDX-License-Identifier: Apache-2.0
"""One process at a time."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_EVERY_S = 0.2


@contextmanager
def one_at_a_time(path: Path, waits_for_s: float, on_wait: Callable[[], None]) -> Iterator[bool]:
    """Hold a lock file for the block; the system lets go of it when the process dies.

    Args:
        path: the file; it is made when absent and stays.
        waits_for_s: how long to wait for another process.
        on_wait: called once when there is something to wait for.

    Returns:
        Whether this process is alone; False when the other one kept the lock all the time. Where
        the file can't be written there is nothing to be fought over, and everyone is alone.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w")
    except OSError:
        yield True
        return
    with stream:
        end = time.monotonic() + waits_for_s
        alone = _try_lock(stream.fileno())
        if not alone:
            on_wait()
        while not alone and time.monotonic() < end:
            time.sleep(_LOOK_EVERY_S)
            alone = _try_lock(stream.fileno())
        yield alone


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def exclusive(lock_file: Path) -> Iterator[None]:
    """Keep other processes and threads out until the block ends; the file itself stays."""
    with lock_file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
