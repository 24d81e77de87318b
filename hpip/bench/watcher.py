# SPDX-License-Identifier: Apache-2.0
"""The interface that receives the progress of a run."""

from __future__ import annotations

from collections.abc import Mapping

from hpip.bench.record import Row


class Watcher:
    """Ignores the progress; subclasses override its methods to display it."""

    def workload(self, title: str, number: int, count: int) -> None:
        """Workload `number` of `count` starts."""

    def doing(self, text: str) -> None:
        """A step starts, which `text` describes."""

    def round(
        self, number: int, widths: Mapping[str, float], spent_s: float, budget_s: float
    ) -> None:
        """A round ends; `widths` are those of the intervals, relative to the medians."""

    def finished(self, row: Row) -> None:
        """A contender is finished."""
