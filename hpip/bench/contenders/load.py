# SPDX-License-Identifier: Apache-2.0
"""Load tests: a closed loop of N callers, or an open loop with a rate of requests.

They need only the standard library.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

# With more concurrent requests than this, the service has long been overloaded.
_MOST_THREADS = 256


def run_load(call: Callable[[str], object], request: dict[str, Any]) -> dict[str, Any]:
    """Run a load test that cycles through the images.

    Args:
        call: makes one request; it may raise.
        request: `images`, `seconds`, and one of `callers` (closed loop: that many callers, each of
            which sends its next request after the reply) or `rate_per_s` (open loop: requests
            at the times of a Poisson process with a fixed seed, independent of replies).

    Returns:
        `latencies_ms` of the successful requests, number of `errors`, `first_error`, `elapsed_s`.
        In the open loop, a latency starts at the scheduled time of the request, even if it was
        sent later: the latency thus includes the time in the queue behind a slow request.
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
    """Makes requests and collects latencies; several threads may share it."""

    def __init__(self, call: Callable[[str], object], images: list[str]) -> None:
        self.latencies_ms: list[float] = []
        self.errors = 0
        self.first_error = ""
        self._call = call
        self._images = images
        self._lock = threading.Lock()

    def step(self, number: int, due: float) -> None:
        """Make request `number`; its latency starts at the time `due`."""
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
    schedule = _schedule(rate_per_s, start, end)
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number, due = next(schedule, (0, None))
            if due is None:
                return
            time.sleep(max(0.0, due - time.perf_counter()))
            loop.step(number, due)

    # Each thread takes the next scheduled request, so that no request waits for another's reply.
    threads = [threading.Thread(target=work) for _ in range(_thread_count(rate_per_s, end - start))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _thread_count(rate_per_s: float, seconds: float) -> int:
    return max(1, min(_MOST_THREADS, round(rate_per_s * seconds) + 1))


def _schedule(rate_per_s: float, start: float, end: float) -> Any:
    rng = random.Random(0)
    number, due = 0, start + rng.expovariate(rate_per_s)
    while due < end:
        yield number, due
        number, due = number + 1, due + rng.expovariate(rate_per_s)
