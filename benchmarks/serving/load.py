# SPDX-License-Identifier: Apache-2.0
"""Tests a server under mixed load: no wrong or lost response, and no growth of memory.

    python -m benchmarks.serving.load --duration 1800 --output benchmarks/results/serving-load.json

It starts `hpip serve` with the demo model (or `--model_dir`) and 16 clients, which send valid,
invalid, huge, slow and aborted requests, and validates every response against the pipeline's own
result. The exit code is 1 if the test failed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import hpip
from benchmarks.serving.figures import write_figures
from benchmarks.serving.raw_http import Connection, LostError, Reply, request_bytes
from benchmarks.serving.request_cases import RequestCase, make_images, make_request_cases
from benchmarks.serving.server import RunningServer, hpip_server
from benchmarks.serving.validation import ResponseValidator, WrongResponseError

DEMO = Path(hpip.__file__).parent / "demo"
# Percentages of the requests; few are huge, because those take much longer than all others.
WEIGHTS = {"good": 60, "bad": 20, "huge": 4, "slow": 6, "aborted": 10}
# 502 reports a crashed worker, 503 a full queue, 504 a timeout: these are not bugs of the server.
DELIBERATE_5XX = frozenset({502, 503, 504})
MAX_BODY_BYTES = 32 << 20
BODY_TIMEOUT_S = 4.0
DRIFT_LIMIT = 0.03


@dataclass
class Tally:
    """The outcomes of all requests."""

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    latencies_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    rss: list[tuple[float, int]] = field(default_factory=list)

    def unexpected_5xx(self) -> int:
        """Number of responses with a 5xx status that is not deliberate."""
        total = 0
        for key, count in self.statuses.items():
            code = key.rsplit(" ", 1)[1]
            if code.startswith("5") and int(code) not in DELIBERATE_5XX:
                total += count
        return total


class Client:
    """Sends random requests, one after the other, until the time is up."""

    def __init__(
        self,
        url: str,
        cases: Sequence[RequestCase],
        validator: ResponseValidator,
        tally: Tally,
        seed: int,
    ) -> None:
        self._connection = Connection(url)
        self._url = url
        self._random = random.Random(seed)
        self._validator = validator
        self._tally = tally
        self._by_kind: dict[str, list[RequestCase]] = defaultdict(list)
        for case in cases:
            self._by_kind[case.kind].append(case)

    async def run(self, until_s: float) -> None:
        """Send requests until `time.monotonic()` has reached `until_s`."""
        while time.monotonic() < until_s:
            (kind,) = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))
            await self._send(self._random.choice(self._by_kind[kind]))
        await self._connection.close()

    async def _send(self, case: RequestCase) -> None:
        if case.leave_after_s is not None:
            buffer_bytes = 4096 if case.unread else 1 << 22
            leaver = Connection(self._url, buffer_bytes=buffer_bytes)
            await leaver.abort(case.pieces, case.leave_after_s, reset=case.reset)
            self._tally.statuses["aborted left"] += 1
            return
        start_s = time.perf_counter()
        try:
            reply = await self._connection.exchange(case.pieces, case.pause_s)
        except LostError as error:
            self._tally.lost.append(f"{case.kind}, {case.name}: {error}")
            return
        if not case.pause_s:
            elapsed_ms = (time.perf_counter() - start_s) * 1e3
            self._tally.latencies_ms[case.kind].append(elapsed_ms)
        self._tally.statuses[f"{case.kind} {reply.status}"] += 1
        self._validate(case, reply)

    def _validate(self, case: RequestCase, reply: Reply) -> None:
        where = f"{case.kind}, {case.name}"
        try:
            if reply.status in DELIBERATE_5XX:
                _check_failure(reply)
            elif reply.status not in case.statuses:
                raise WrongResponseError(f"status {reply.status}: {reply.body[:300]!r}")
            elif case.valid is not None:
                self._validator.check(case.valid, reply)
            else:
                _check_failure(reply)
        except WrongResponseError as error:
            self._tally.wrong.append(f"{where}: {error}")


def _check_failure(reply: Reply) -> None:
    if reply.status == 400 and reply.headers.get("content-type", "").startswith("text/plain"):
        # Data that is not HTTP is rejected before it reaches the application.
        return
    try:
        content = json.loads(reply.body)
        said = (content["errorCode"], bool(content["errorMsg"]), bool(content["logId"]))
    except (ValueError, KeyError, TypeError) as error:
        raise WrongResponseError(
            f"status {reply.status} without the fields of an error: {error}"
        ) from error
    if said != (reply.status, True, True):
        raise WrongResponseError(f"status {reply.status} with {content}")


async def put_under_load(
    server: RunningServer,
    cases: Sequence[RequestCase],
    validator: ResponseValidator,
    *,
    clients: int,
    duration_s: float,
    sample_s: float = 2.0,
) -> Tally:
    """Run the clients, then check that the server is idle and still responds."""
    tally = Tally()
    start_s = time.monotonic()
    users = [Client(server.url, cases, validator, tally, seed) for seed in range(clients)]

    async def watch_memory() -> None:
        for i in itertools.count(1):
            tally.rss.append((round(time.monotonic() - start_s, 1), server.rss_bytes()))
            await asyncio.sleep(start_s + i * sample_s - time.monotonic())

    watching = asyncio.create_task(watch_memory())
    await asyncio.gather(*(user.run(start_s + duration_s) for user in users))
    watching.cancel()
    await _check_idle(server, cases, validator, tally)
    return tally


async def _check_idle(
    server: RunningServer, cases: Sequence[RequestCase], validator: ResponseValidator, tally: Tally
) -> None:
    """Check that the server responds to one more request, and that its queue is empty."""
    connection = Connection(server.url)
    case = next(case for case in cases if case.kind == "good")
    assert case.valid is not None
    validator.check(case.valid, await connection.exchange(case.pieces))
    ready = await connection.exchange([request_bytes("GET", "/health/ready")])
    await connection.close()
    state = json.loads(ready.body)
    if ready.status != 200 or state.get("queueDepth", 0) != 0:
        tally.wrong.append(f"after the load: {ready.status} {state}")


def memory_drift(rss: Sequence[tuple[float, int]]) -> dict[str, float]:
    """Change of memory over the last two thirds of the time, after the warm-up.

    The samples are grouped into twenty intervals, of which the medians count. `drift` is the change
    of a straight line that is fitted to the medians, `spread` their range, both relative to the
    median memory.
    """
    times, sizes = np.array(rss, float).T
    late = times >= times[-1] / 3
    spans = np.array_split(sizes[late], min(20, int(late.sum())))
    medians = np.array([np.median(span) for span in spans])
    slope = np.polyfit(np.arange(len(medians)), medians, 1)[0] if len(medians) > 1 else 0.0
    middle = float(np.median(medians))
    return {
        "median_mb": round(middle / 1e6, 1),
        "drift": round(float(slope) * (len(medians) - 1) / middle, 4),
        "spread": round(float(np.ptp(medians)) / middle, 4),
    }


def summary(tally: Tally, *, clients: int, duration_s: float) -> dict[str, Any]:
    """The results for the JSON file."""
    percentiles = {
        kind: [round(float(value), 1) for value in np.percentile(times, (50, 90, 99))]
        for kind, times in sorted(tally.latencies_ms.items())
    }
    every = max(1, len(tally.rss) // 60)
    return {
        "clients": clients,
        "duration_s": duration_s,
        "requests": sum(tally.statuses.values()) + len(tally.lost),
        "statuses": dict(sorted(tally.statuses.items())),
        "wrong": len(tally.wrong),
        "lost": len(tally.lost),
        "unexpected_5xx": tally.unexpected_5xx(),
        "latency_p50_p90_p99_ms": percentiles,
        "memory": memory_drift(tally.rss),
        "rss_mb_at_s": [(round(size / 1e6, 1), at) for at, size in tally.rss[::every]],
        "examples": {"wrong": tally.wrong[:20], "lost": tally.lost[:20]},
    }


def run(
    model: dict[str, Any], flags: Sequence[str], *, clients: int, duration_s: float, log: Path
) -> dict[str, Any]:
    """Start a server, run the load test, and return the results."""
    images = make_images(DEMO)
    cases = make_request_cases(images, max_body_bytes=MAX_BODY_BYTES)
    validator = ResponseValidator(images, model)
    validator.prepare([case.valid for case in cases if case.valid is not None])
    limits = ["--max-body-bytes", str(MAX_BODY_BYTES), "--body-timeout-s", str(BODY_TIMEOUT_S)]
    with hpip_server([*flags, *limits], log) as server:
        workers = server.children()
        tally = asyncio.run(
            put_under_load(server, cases, validator, clients=clients, duration_s=duration_s)
        )
        figures = summary(tally, clients=clients, duration_s=duration_s)
        figures["processes_kept"] = server.children() == workers
    return figures


def main() -> None:
    """Run the test and write the results; exit with 1 if it failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_dir", type=Path, help="model directory; default: the demo model")
    parser.add_argument("--duration", type=float, default=1800.0, help="seconds")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--log", type=Path, default=Path(tempfile.gettempdir()) / "hpip-load.log")
    args = parser.parse_args()
    if args.model_dir:
        model, flags = {"model_dir": str(args.model_dir)}, ["--model_dir", str(args.model_dir)]
    else:
        model, flags = {"model": "demo"}, ["--model", "demo"]
    flags += ["--device", "cpu", "--workers", str(args.workers)]
    figures = run(
        {**model, "device": "cpu"},
        flags,
        clients=args.clients,
        duration_s=args.duration,
        log=args.log,
    )
    figures["workers"] = args.workers
    write_figures(figures, args.output)
    flat = max(abs(figures["memory"]["drift"]), figures["memory"]["spread"]) <= DRIFT_LIMIT
    good = not (figures["wrong"] or figures["lost"] or figures["unexpected_5xx"])
    sys.exit(0 if good and flat and figures["processes_kept"] else 1)


if __name__ == "__main__":
    main()
