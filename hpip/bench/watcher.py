# SPDX-License-Identifier: Apache-2.0
"""Who is told how a run goes on; this one keeps it to himself."""

from __future__ import annotations

from collections.abc import Mapping

from hpip.bench.record import Row


class Watcher:
    """Overridden by those who show something."""

    def workload(self, title: str, number: int, count: int) -> None:
        """Workload `number` of `count` begins."""

    def doing(self, text: str) -> None:
        """What happens now."""

    def round(
        self, number: int, widths: Mapping[str, float], spent_s: float, budget_s: float
    ) -> None:
        """A round is over; the width of each contender's interval, relative to its median."""

    def finished(self, row: Row) -> None:
        """A contender is done."""
