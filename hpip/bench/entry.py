# SPDX-License-Identifier: Apache-2.0
"""The state of one contender during a run: its process, its samples, its row."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpip.bench.contender import PADDLEX, PLAIN, URL, Contender
from hpip.bench.predictions import ContenderPrediction
from hpip.bench.process import ContenderError, ContenderProcess, start_worker
from hpip.bench.record import FAILED, UNAVAILABLE, Row
from hpip.bench.settings import BenchSettings
from hpip.bench.subject import Subject
from hpip.errors import HpipError
from hpip.inference.tuning.budget import BACKGROUND_VARIABLE, BUDGET_VARIABLE, without_tuning

Doing = Callable[[str], None]


@dataclass
class Entry:
    """One contender during a run.

    Attributes:
        contender: what is measured.
        row: its results so far.
        settings: settings of the run.
        doing: called with a description of each step.
        process: None before the start and after a failure.
        samples: replies to the timed calls, in the order of the rounds.
    """

    contender: Contender
    row: Row
    settings: BenchSettings
    doing: Doing
    process: ContenderProcess | None = None
    samples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def wall_ms(self) -> list[float]:
        """End-to-end latencies so far."""
        return [sample["wall_ms"] for sample in self.samples]

    @property
    def is_reference(self) -> bool:
        """Whether this is a baseline: plain Paddle or PaddleX."""
        return self.contender.backend == PLAIN or self.contender.backend in PADDLEX

    def say(self, text: str) -> None:
        """Report a step of this contender."""
        self.doing(f"{self.contender.label}: {text}")

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Send a request to the process, and return the reply.

        Raises:
            ContenderError: the contender failed and was closed.
        """
        assert self.process is not None
        try:
            return self.process.ask(do, timeout_s=self.settings.timeout_s, **request)
        except ContenderError as error:
            self.drop(error)
            raise

    def predict(
        self, paths: Sequence[Path], threshold: float | None = None
    ) -> list[ContenderPrediction]:
        """Detect instances in images.

        Raises:
            ContenderError: the contender failed and was closed.
        """
        found = []
        for number, path in enumerate(paths, start=1):
            self.say(f"predicting image {number} of {len(paths)}")
            found.append(
                ContenderPrediction(self.ask("predict", image=str(path), threshold=threshold))
            )
        return found

    def start(self, subject: Subject | None, images: Sequence[str], scratch: Path) -> None:
        """Start the process, load the model and make the first call; the row records a failure."""
        self.say("loading")
        try:
            self._start(self._load_request(subject, scratch), images)
        except ContenderError as error:
            self.drop(error)
        except HpipError as error:
            self.drop(ContenderError(str(error), refused=True))

    def _start(self, request: dict[str, Any], images: Sequence[str]) -> None:
        if not self.is_reference and self.contender.backend != URL:
            # A separate process, so that the conversion does not count as memory of the second.
            with self._worker(self._tuning()) as first:
                reply = first.ask("load", timeout_s=self.settings.timeout_s, **request)
            self.row.first_load_ms = reply["load_ms"]
            self.say("loading again, from the cache")
        # If tuning ran out of time, this second load would otherwise continue it.
        self.process = self._worker(without_tuning())
        reply = self.ask("load", **request)
        self.row.runs = _what_runs(reply["explanation"])
        self.row.load_ms = reply["load_ms"]
        self.row.loaded_rss_bytes = self.ask("memory")["rss_bytes"]
        self.say("first call")
        first_call = self.ask("run", images=list(images))
        if self.row.load_ms is not None:
            self.row.first_result_ms = self.row.load_ms + first_call["wall_ms"]
        if self.row.first_load_ms is not None and self.row.load_ms is not None:
            self.row.convert_ms = max(0.0, self.row.first_load_ms - self.row.load_ms)

    def drop(self, error: ContenderError) -> None:
        """Close the contender; the row records the error and no latency."""
        self.row.state = UNAVAILABLE if error.refused else FAILED
        self.row.error = str(error)
        self.close()

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.close()
            self.process = None

    def _tuning(self) -> dict[str, str]:
        seconds = self.settings.tune_budget_s
        return {BUDGET_VARIABLE: f"{seconds:g}"} if seconds else {}

    def _worker(self, environment: Mapping[str, str]) -> ContenderProcess:
        if self.contender.backend in PADDLEX:
            python = self.settings.paddlex_python
            return start_worker("paddlex_contender", python, environment=environment)
        module = "url_contender" if self.contender.backend == URL else "hpip_contender"
        # Tuning in the background would run beside the measurement.
        return start_worker(module, environment={**environment, BACKGROUND_VARIABLE: "0"})

    def _load_request(self, subject: Subject | None, scratch: Path) -> dict[str, Any]:
        workload = self.contender.workload
        common = {"threshold": workload.threshold, "backend": self.contender.backend}
        if subject is None:
            return {**common, "url": self.settings.url, "http_timeout_s": self.settings.timeout_s}
        name, folder = subject.name, subject.model_dir
        if self.contender.backend in PADDLEX:
            clock = time.perf_counter()
            onnx = self.contender.backend == "paddlex-onnxruntime"
            name, folder = subject.paddlex_folder(scratch, onnx=onnx)
            if onnx:
                self.row.convert_ms = (time.perf_counter() - clock) * 1e3
        return {
            **common,
            "model_name": name,
            "model_dir": str(folder),
            "device": self.contender.device,
            "precision": self.contender.precision,
            "threads": workload.threads,
            "batch_size": workload.batch_size,
        }


def _what_runs(explanation: str) -> str:
    """Graph and engine, from the lines of `explain`."""
    lines = dict(line.split(":", 1) for line in explanation.splitlines() if ":" in line)
    # hpip names a graph and an engine, and gives reasons in parentheses; others have one line.
    parts = (lines.get(name, "").split(" (")[0].strip() for name in ("runs", "graph", "engine"))
    return ", ".join(filter(None, parts))
