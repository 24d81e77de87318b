# SPDX-License-Identifier: Apache-2.0
"""Mixed load on a server: no answer may be wrong or lost, and memory must stay flat.

    python -m benchmarks.serving.load --duration 1800 --output benchmarks/results/serving-load.json

Starts `hpip serve` with the demo model (or `--model_dir`), keeps 16 clients busy with good, bad,
huge, slow and aborted requests, compares every answer with the pipeline's own result, and ends with
1 if anything was wrong.
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
from benchmarks.serving.judge import Judge, WrongAnswerError
from benchmarks.serving.questions import Question, make_pictures, make_questions
from benchmarks.serving.raw_http import Connection, LostError, Reply, request_bytes
from benchmarks.serving.server import RunningServer, hpip_server

DEMO = Path(hpip.__file__).parent / "demo"
# Of a hundred requests; huge ones are the longest by far, and would leave room for little else.
WEIGHTS = {"good": 60, "bad": 20, "huge": 4, "slow": 6, "aborted": 10}
# 502 is for a worker that died, 503 for a full queue, 504 for a timeout: said on purpose.
DELIBERATE_5XX = frozenset({502, 503, 504})
MAX_BODY_BYTES = 32 << 20
BODY_TIMEOUT_S = 4.0
DRIFT_LIMIT = 0.03


@dataclass
class Tally:
    """What became of the requests."""

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    latencies_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    rss: list[tuple[float, int]] = field(default_factory=list)

    def unexpected_5xx(self) -> int:
        """How many answers were server errors that are not deliberate."""
        total = 0
        for key, count in self.statuses.items():
            code = key.rsplit(" ", 1)[1]
            if code.startswith("5") and int(code) not in DELIBERATE_5XX:
                total += count
        return total


class Client:
    """Asks one question after the other until the time is up."""

    def __init__(
        self, url: str, questions: Sequence[Question], judge: Judge, tally: Tally, seed: int
    ) -> None:
        self._connection = Connection(url)
        self._url = url
        self._random = random.Random(seed)
        self._judge = judge
        self._tally = tally
        self._by_kind: dict[str, list[Question]] = defaultdict(list)
        for question in questions:
            self._by_kind[question.kind].append(question)

    async def run(self, until_s: float) -> None:
        """Ask until `time.monotonic()` has reached `until_s`."""
        while time.monotonic() < until_s:
            (kind,) = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))
            await self._ask(self._random.choice(self._by_kind[kind]))
        await self._connection.close()

    async def _ask(self, question: Question) -> None:
        if question.leave_after_s is not None:
            buffer_bytes = 4096 if question.unread else 1 << 22
            leaver = Connection(self._url, buffer_bytes=buffer_bytes)
            await leaver.abort(question.pieces, question.leave_after_s, reset=question.reset)
            self._tally.statuses["aborted left"] += 1
            return
        start_s = time.perf_counter()
        try:
            reply = await self._connection.exchange(question.pieces, question.pause_s)
        except LostError as error:
            self._tally.lost.append(f"{question.kind}, {question.name}: {error}")
            return
        if not question.pause_s:
            elapsed_ms = (time.perf_counter() - start_s) * 1e3
            self._tally.latencies_ms[question.kind].append(elapsed_ms)
        self._tally.statuses[f"{question.kind} {reply.status}"] += 1
        self._judge_reply(question, reply)

    def _judge_reply(self, question: Question, reply: Reply) -> None:
        where = f"{question.kind}, {question.name}"
        try:
            if reply.status in DELIBERATE_5XX:
                _check_failure(reply)
            elif reply.status not in question.statuses:
                raise WrongAnswerError(f"status {reply.status}: {reply.body[:300]!r}")
            elif question.asked is not None:
                self._judge.check(question.asked, reply)
            else:
                _check_failure(reply)
        except WrongAnswerError as error:
            self._tally.wrong.append(f"{where}: {error}")


def _check_failure(reply: Reply) -> None:
    if reply.status == 400 and reply.headers.get("content-type", "").startswith("text/plain"):
        # What is no HTTP is refused before there is an application to answer.
        return
    try:
        answer = json.loads(reply.body)
        said = (answer["errorCode"], bool(answer["errorMsg"]), bool(answer["logId"]))
    except (ValueError, KeyError, TypeError) as error:
        raise WrongAnswerError(f"status {reply.status} without an envelope: {error}") from error
    if said != (reply.status, True, True):
        raise WrongAnswerError(f"status {reply.status} with {answer}")


async def put_under_load(
    server: RunningServer,
    questions: Sequence[Question],
    judge: Judge,
    *,
    clients: int,
    duration_s: float,
    sample_s: float = 2.0,
) -> Tally:
    """Run the clients for a while, then see that the server is idle and still answers."""
    tally = Tally()
    start_s = time.monotonic()
    people = [Client(server.url, questions, judge, tally, seed) for seed in range(clients)]

    async def watch_memory() -> None:
        for i in itertools.count(1):
            tally.rss.append((round(time.monotonic() - start_s, 1), server.rss_bytes()))
            await asyncio.sleep(start_s + i * sample_s - time.monotonic())

    watching = asyncio.create_task(watch_memory())
    await asyncio.gather(*(person.run(start_s + duration_s) for person in people))
    watching.cancel()
    await _check_idle(server, questions, judge, tally)
    return tally


async def _check_idle(
    server: RunningServer, questions: Sequence[Question], judge: Judge, tally: Tally
) -> None:
    """One more request must be answered, with nothing waiting before it."""
    connection = Connection(server.url)
    question = next(question for question in questions if question.kind == "good")
    assert question.asked is not None
    judge.check(question.asked, await connection.exchange(question.pieces))
    ready = await connection.exchange([request_bytes("GET", "/health/ready")])
    await connection.close()
    state = json.loads(ready.body)
    if ready.status != 200 or state.get("queueDepth", 0) != 0:
        tally.wrong.append(f"after the load: {ready.status} {state}")


def memory_drift(rss: Sequence[tuple[float, int]]) -> dict[str, float]:
    """How memory changed over the last two thirds of the time.

    The samples are taken together in twenty spans, each its median; `drift` is the line through
    them from its start to its end, `spread` the largest minus the smallest, both as a part of the
    whole.
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
    """The figures as they are kept."""
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
    """Start a server, put it under load, and return the figures."""
    pictures = make_pictures(DEMO)
    questions = make_questions(pictures, max_body_bytes=MAX_BODY_BYTES)
    judge = Judge(pictures, model)
    judge.prepare([question.asked for question in questions if question.asked is not None])
    limits = ["--max-body-bytes", str(MAX_BODY_BYTES), "--body-timeout-s", str(BODY_TIMEOUT_S)]
    with hpip_server([*flags, *limits], log) as server:
        workers = server.children()
        tally = asyncio.run(
            put_under_load(server, questions, judge, clients=clients, duration_s=duration_s)
        )
        figures = summary(tally, clients=clients, duration_s=duration_s)
        figures["processes_kept"] = server.children() == workers
    return figures


def main() -> None:
    """Parse arguments, run, write JSON; exit with 1 if a promise did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_dir", type=Path, help="another model than the demo's")
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
