# SPDX-License-Identifier: Apache-2.0
"""Many callers at once: a closed loop of N callers, or an open loop at a rate of requests.

Needs the standard library alone.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

# More requests under way than this, and the open loop has long fallen behind.
_MOST_THREADS = 256


def run_load(call: Callable[[str], object], request: dict[str, Any]) -> dict[str, Any]:
    """Call with images in turn for some seconds.

    Args:
        call: one request; it may raise.
        request: `images`; `seconds`; and `callers`, for that many callers each of which waits for
            its answer before it asks again, or `rate_per_s`, for requests at random moments
            (Poisson, always the same ones) that wait for nobody.

    Returns:
        `latencies_ms` of the requests that succeeded, `errors`, the `first_error`, and `elapsed_s`.
        In the open loop a latency starts at the moment when the request was due, also if it could
        not be sent then: a service that stalls is charged for those that queue up behind.
    """
    loop = _Loop(call, request["images"])
    start = time.perf_counter()
    end = start + request["seconds"]
    if "callers" in request:
        _closed(loop, request["callers"], end)
    else:
        _open(loop, request["rate_per_s"], start, end)
    return {
        "latencies_ms": loop.latencies_ms,
        "errors": loop.errors,
        "first_error": loop.first_error,
        "elapsed_s": time.perf_counter() - start,
    }


class _Loop:
    """One request at a time and thread; appending to a list is safe from several."""

    def __init__(self, call: Callable[[str], object], images: list[str]) -> None:
        self.latencies_ms: list[float] = []
        self.errors = 0
        self.first_error = ""
        self._call = call
        self._images = images
        self._lock = threading.Lock()

    def step(self, number: int, due: float) -> None:
        """Make request `number`; its latency counts from the moment `due`."""
        try:
            self._call(self._images[number % len(self._images)])
        except Exception as error:
            with self._lock:
                self.errors += 1
                self.first_error = self.first_error or str(error) or type(error).__name__
        else:
            self.latencies_ms.append((time.perf_counter() - due) * 1e3)


def _closed(loop: _Loop, callers: int, end: float) -> None:
    def work(first: int) -> None:
        number = first
        while (now := time.perf_counter()) < end:
            loop.step(number, now)
            number += callers

    threads = [threading.Thread(target=work, args=(first,)) for first in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _open(loop: _Loop, rate_per_s: float, start: float, end: float) -> None:
    moments = _moments(rate_per_s, start, end)
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number, due = next(moments, (0, None))
            if due is None:
                return
            time.sleep(max(0.0, due - time.perf_counter()))
            loop.step(number, due)

    # Each takes the next request that is due, so that as many are under way as have fallen due.
    threads = [threading.Thread(target=work) for _ in range(_thread_count(rate_per_s, end - start))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _thread_count(rate_per_s: float, seconds: float) -> int:
    return max(1, min(_MOST_THREADS, round(rate_per_s * seconds) + 1))


def _moments(rate_per_s: float, start: float, end: float) -> Any:
    chance = random.Random(0)
    number, due = 0, start + chance.expovariate(rate_per_s)
    while due < end:
        yield number, due
        number, due = number + 1, due + chance.expovariate(rate_per_s)
