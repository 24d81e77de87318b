# SPDX-License-Identifier: Apache-2.0
"""Locks between processes, by lock files."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_INTERVAL_S = 0.2


@contextmanager
def one_at_a_time(path: Path, waits_for_s: float, on_wait: Callable[[], None]) -> Iterator[bool]:
    """Hold a lock file for the block; the operating system releases it if the process dies.

    Args:
        path: the lock file; it is created if missing and not deleted.
        waits_for_s: timeout in seconds.
        on_wait: called once if another process holds the lock.

    Returns:
        Whether the lock is held; False after the timeout. If the lock file can't be written, the
        block runs without a lock and the value is True.
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
            time.sleep(_POLL_INTERVAL_S)
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
    """Hold a lock file for the block, waiting without a timeout; the file is not deleted."""
    with lock_file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
