# SPDX-License-Identifier: Apache-2.0
"""Load tests of one contender: closed and open loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hpip.bench.entry import Entry
from hpip.bench.images import BenchImage
from hpip.bench.record import LoadRow, Row
from hpip.bench.stats import percentile


def load_tests(entry: Entry, images: Sequence[BenchImage]) -> Iterator[LoadRow]:
    """Run a load test for each number of callers and each rate in the settings.

    Raises:
        ContenderError: the contender failed and was closed.
    """
    settings = entry.settings
    loads: list[dict[str, Any]] = [{"callers": count} for count in settings.callers]
    loads += [{"rate_per_s": rate} for rate in settings.rates]
    paths = [str(image.path) for image in images]
    for load in loads:
        entry.say(
            f"{load['callers']} callers" if "callers" in load else f"{load['rate_per_s']:g}/s"
        )
        reply = entry.ask("load_test", images=paths, seconds=settings.load_s, **load)
        yield _row(entry.row, load, settings.load_s, reply)


def _row(row: Row, load: dict[str, Any], seconds: float, reply: dict[str, Any]) -> LoadRow:
    latencies = reply["latencies_ms"]
    percents = {
        f"p{percent}_ms": percentile(latencies, percent) if latencies else None
        for percent in (50, 90, 95, 99)
    }
    return LoadRow.of(
        row.contender,
        loop="closed" if "callers" in load else "open",
        callers=load.get("callers"),
        rate_per_s=load.get("rate_per_s"),
        seconds=seconds,
        requests=len(latencies) + reply["errors"],
        errors=reply["errors"],
        error=reply["first_error"],
        throughput_ips=len(latencies) / reply["elapsed_s"],
        max_ms=max(latencies, default=None),
        **percents,
    )
