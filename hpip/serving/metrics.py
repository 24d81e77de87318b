# SPDX-License-Identifier: Apache-2.0
"""Prometheus metrics. The front process keeps all of them; workers send theirs with each image."""

from __future__ import annotations

import platform
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hpip._core import __version__
from hpip.serving.scheduler import Scheduler
from hpip.serving.supervisor import Supervisor

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """A server's metrics, in a registry of their own, so that tests can run several servers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "hpip_requests", "Completed requests.", ("route", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "hpip_request_seconds",
            "Latency from a request's headers to the end of its response.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "hpip_stage_seconds",
            "Latency of each stage per image.",
            ("stage",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "hpip_batch_size",
            "Images in the batch of each image.",
            buckets=_BATCH_SIZES,
            registry=self.registry,
        )
        self.images = Counter(
            "hpip_pictures", "Processed images.", ("status",), registry=self.registry
        )
        self.open_requests = Gauge(
            "hpip_open_requests", "Requests in progress.", registry=self.registry
        )
        build = Gauge(
            "hpip_build_info",
            "Versions of hpip and Python.",
            ("version", "python"),
            registry=self.registry,
        )
        build.labels(__version__, platform.python_version()).set(1)
        ProcessCollector(namespace="hpip_front", registry=self.registry)

    def watch(self, scheduler: Scheduler, supervisor: Supervisor) -> None:
        """Report the state of the queue and the workers at each scrape."""
        self.registry.register(_LiveState(scheduler, supervisor))

    def observe_stages(self, stages_ms: dict[str, float]) -> None:
        """Record the latency of each stage of one image."""
        for stage, ms in stages_ms.items():
            self.stage_seconds.labels(stage).observe(ms / 1e3)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)


class _LiveState(Collector):
    """Gauges that are read at each scrape."""

    def __init__(self, scheduler: Scheduler, supervisor: Supervisor) -> None:
        self._scheduler = scheduler
        self._supervisor = supervisor

    def collect(self) -> list[Metric]:
        """See `Collector`."""
        queue = GaugeMetricFamily("hpip_queue_depth", "Images that wait for a worker.")
        queue.add_metric([], self._scheduler.queue_depth)
        in_flight = GaugeMetricFamily("hpip_in_flight", "Images in workers.")
        in_flight.add_metric([], self._scheduler.in_flight)
        ready = GaugeMetricFamily(
            "hpip_worker_ready", "1 if the worker accepts images.", labels=["worker"]
        )
        restarts = CounterMetricFamily(
            "hpip_worker_restarts",
            "Restarts of the worker process.",
            labels=["worker"],
        )
        memory = GaugeMetricFamily(
            "hpip_worker_resident_bytes", "Resident memory of the worker.", labels=["worker"]
        )
        names = ["worker", "model", "backend", "precision", "device", "threads", "max_batch_size"]
        model = GaugeMetricFamily(
            "hpip_model_info", "Model and engine of the worker.", labels=names
        )
        for worker in self._supervisor.workers:
            index = str(worker.index)
            ready.add_metric([index], float(worker.state == "ready"))
            restarts.add_metric([index], worker.restarts)
            if worker.process is not None and worker.process.returncode is None:
                memory.add_metric([index], _resident_bytes(worker.process.pid))
            if worker.info:
                model.add_metric([index, *(worker.info.get(name, "") for name in names[1:])], 1)
        return [queue, in_flight, ready, restarts, memory, model]


def _resident_bytes(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS")), 0.0)
