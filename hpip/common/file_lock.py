# SPDX-License-Identifier: Apache-2.0
"""Locks between processes, by lock files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

logger = logging.getLogger(__name__)

_POLL_INTERVAL_S = 0.2


@contextmanager
def file_lock(
    path: Path, *, on_wait: Callable[[], None], waits_for_s: float | None = None
) -> Iterator[bool]:
    """Hold a lock file for the block; the operating system releases it if the process dies.

    Args:
        path: the lock file; it and its folder are created if missing, and it is not deleted.
        on_wait: called once if another process or thread holds the lock.
        waits_for_s: timeout in seconds; None for no timeout.

    Returns:
        Whether the block may work; False after the timeout. If the lock file can't be written, or
        its file system has no locks, the block runs without a lock and the value is True.
    """
    # Imported at use, because it adds hooks to the process, which run at each fork.
    from filelock import FileLock

    # filelock's own fallback would leave a lock behind if the process dies.
    lock = FileLock(path, fallback_to_soft=False)
    may_work = _acquire(lock, 0)
    if not may_work:
        on_wait()
        may_work = _acquire(lock, -1 if waits_for_s is None else waits_for_s)
    try:
        yield may_work
    finally:
        lock.release()


def _acquire(lock: BaseFileLock, waits_for_s: float) -> bool:
    """Whether the lock is held, or there can be none; False after the timeout."""
    from filelock import Timeout

    try:
        lock.acquire(waits_for_s, _POLL_INTERVAL_S)
    except Timeout:
        return False
    except OSError as error:
        logger.debug("%s can't be locked: %s", lock.lock_file, error)
    return True
