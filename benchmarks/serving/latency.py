# SPDX-License-Identifier: Apache-2.0
"""Measures the server's overhead over `predict`, and its latency for eight concurrent clients.

    python -m benchmarks.serving.latency --output benchmarks/results/serving-latency.json
    python -m benchmarks.serving.latency --paddlex-python PYTHON  # also PaddleX's own server

Requests to the contenders are interleaved, so that other load on the machine affects all of them.
The overhead of a request is its round trip minus the stages of `predict`, which the server reports
in `Server-Timing`. `cpu_ms` is the CPU time of all processes of the server; its difference to
`predict_cpu_ms`, the CPU time of `predict` in this process, is a second measure of the overhead.
`decode_cpu_ms`, the CPU time of OpenCV for the same JPEG, shows how slow the machine was.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

import hpip
from benchmarks.serving.figures import write_figures
from benchmarks.serving.raw_http import Connection, Reply, request_bytes
from benchmarks.serving.request_cases import ENDPOINT
from benchmarks.serving.server import RunningServer, hpip_server, paddlex_server

DEMO = Path(hpip.__file__).parent / "demo"
# The stages that are part of `predict`.
PREDICT_STAGES = ("preprocess", "network_wait", "infer", "postprocess")
CLIENTS = 8
# Pause until the engine's threads stop spinning on the CPUs that the next contender needs.
_SETTLE_S = 0.25
# PaddleX supports only official model names; the demo model has this model's architecture.
PADDLEX_NAME = "PP-YOLOE_seg-S"
_DURATION = re.compile(r"(\w+);dur=([\d.]+)")


@dataclass
class Contender:
    """A server and the request that it gets.

    Attributes:
        round_trips_ms: latency of each request of a single client.
        overheads_ms: the same minus the stages of `predict`, if the server reports them.
        cpu_ms: CPU time of the server for each request.
    """

    name: str
    server: RunningServer
    request: bytes
    round_trips_ms: list[float] = field(default_factory=list)
    overheads_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    async def send_once(self, connection: Connection, *, warm_up: bool = False) -> None:
        """Send one request and record its latency, unless it is a warm-up."""
        cpu_s, start_s = self.server.cpu_s(), time.perf_counter()
        reply = _checked(await connection.exchange([self.request]))
        elapsed_ms = (time.perf_counter() - start_s) * 1e3
        if warm_up:
            return
        self.cpu_ms.append((self.server.cpu_s() - cpu_s) * 1e3)
        self.round_trips_ms.append(elapsed_ms)
        stages = dict(_DURATION.findall(reply.headers.get("server-timing", "")))
        if stages:
            predict_ms = sum(float(stages.get(stage, 0.0)) for stage in PREDICT_STAGES)
            self.overheads_ms.append(elapsed_ms - predict_ms)

    async def run_concurrent_clients(self, count: int) -> dict[str, float]:
        """Send `count` requests from `CLIENTS` clients; return their latency and throughput."""
        times_ms: list[float] = []
        numbered = iter(range(count))

        async def client() -> None:
            connection = Connection(self.server.url)
            for _ in numbered:
                start_s = time.perf_counter()
                _checked(await connection.exchange([self.request]))
                times_ms.append((time.perf_counter() - start_s) * 1e3)
            await connection.close()

        cpu_s, start_s = self.server.cpu_s(), time.perf_counter()
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        elapsed_s = time.perf_counter() - start_s
        p50, p99 = np.percentile(times_ms, (50, 99))
        fair_ms = CLIENTS * elapsed_s * 1e3 / count
        return {
            "requests_per_s": round(count / elapsed_s, 2),
            "p50_ms": round(float(p50), 1),
            "p99_ms": round(float(p99), 1),
            "fair_share_ms": round(fair_ms, 1),
            "p99_over_fair": round(float(p99) / fair_ms, 2),
            "cpu_ms_per_request": round((self.server.cpu_s() - cpu_s) * 1e3 / count, 1),
        }

    def summary(self) -> dict[str, float]:
        """The results for a single client."""
        figures = {
            "round_trip_ms": round(float(np.median(self.round_trips_ms)), 2),
            "round_trip_p90_ms": round(float(np.percentile(self.round_trips_ms, 90)), 2),
            # The resolution of the CPU time is 10 ms, so only the mean is meaningful.
            "cpu_ms": round(float(np.mean(self.cpu_ms)), 1),
        }
        if self.overheads_ms:
            figures["overhead_ms"] = round(float(np.median(self.overheads_ms)), 2)
            # The fastest tenth, which other jobs of the machine have disturbed least.
            figures["overhead_p10_ms"] = round(float(np.percentile(self.overheads_ms, 10)), 2)
        return figures


def _checked(reply: Reply) -> Reply:
    if reply.status != 200:
        raise RuntimeError(f"status {reply.status}: {reply.body[:300]!r}")
    return reply


def resized_jpeg(photo: Path, size_wh: tuple[int, int]) -> bytes:
    """Resize a photo, and encode it as JPEG."""
    image = cv2.resize(cv2.imread(str(photo)), size_wh, interpolation=cv2.INTER_CUBIC)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())


def request_for(jpeg: bytes, *, visualize: bool) -> bytes:
    """A request with PaddleX's fields only."""
    content = {"image": base64.b64encode(jpeg).decode(), "visualize": visualize}
    headers = {"Content-Type": "application/json"}
    return request_bytes("POST", ENDPOINT, json.dumps(content).encode(), headers)


def paddlex_pipeline(model_dir: Path, name: str, folder: Path, threads: int) -> Path:
    """Write a pipeline file with which PaddleX runs a model directory on plain Paddle."""
    copy = folder / "model"
    shutil.copytree(model_dir, copy)
    config = yaml.safe_load((copy / "inference.yml").read_text(encoding="utf-8"))
    config["Global"]["model_name"] = name
    (copy / "inference.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    module = {
        "module_name": "instance_segmentation",
        "model_name": name,
        "model_dir": str(copy),
        "batch_size": 1,
        "threshold": 0.5,
    }
    pipeline = {
        "pipeline_name": "instance_segmentation",
        # The subject is the server, so both sides run the same engine: plain Paddle.
        "engine": "paddle_static",
        "engine_config": {"run_mode": "paddle", "cpu_threads": threads},
        "SubModules": {"InstanceSegmentation": module},
    }
    file = folder / "pipeline.yaml"
    file.write_text(yaml.safe_dump(pipeline), encoding="utf-8")
    return file


@contextlib.contextmanager
def paddlex_predict(
    python: Path, pipeline_file: Path, image: Path
) -> Iterator[Callable[[], float]]:
    """Start PaddleX in a process; yields a function that predicts once, and returns the seconds."""
    script = Path(__file__).with_name("paddlex_side.py")
    process = subprocess.Popen(
        [str(python), str(script), str(pipeline_file), str(image)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    if process.stdout.readline().strip() != "ready":
        raise RuntimeError(f"PaddleX in {python} can't load {pipeline_file}")

    def predict() -> float:
        assert process.stdin is not None
        assert process.stdout is not None
        print(file=process.stdin, flush=True)
        return float(process.stdout.readline())

    try:
        yield predict
    finally:
        process.stdin.close()
        process.wait(30)


async def measure(
    contenders: Sequence[Contender],
    predictors: dict[str, Callable[[], float]],
    jpeg: bytes,
    *,
    rounds: int,
    crowd_requests: int,
) -> dict[str, Any]:
    """Measure a single client, interleaved, then concurrent clients on each server."""
    connections = {contender.name: Connection(contender.server.url) for contender in contenders}
    warmed_up = await asyncio.gather(
        *(c.send_once(connections[c.name], warm_up=True) for c in contenders),
        return_exceptions=True,
    )
    failures = {c.name: e for c, e in zip(contenders, warmed_up, strict=True) if e is not None}
    contenders = [contender for contender in contenders if contender.name not in failures]
    predict_ms: dict[str, list[float]] = {name: [] for name in predictors}
    predict_cpu_s, decode_cpu_s = 0.0, []
    for _ in range(rounds):
        cpu_s = time.process_time()
        cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        decode_cpu_s.append(time.process_time() - cpu_s)
        for name, predict in predictors.items():
            cpu_s = time.process_time()
            predict_ms[name].append(predict() * 1e3)
            predict_cpu_s += time.process_time() - cpu_s
        for contender in contenders:
            await asyncio.sleep(_SETTLE_S)
            await contender.send_once(connections[contender.name])
    for connection in connections.values():
        await connection.close()
    concurrent = {c.name: await c.run_concurrent_clients(crowd_requests) for c in contenders}
    return {
        "predict_ms": {name: round(float(np.median(ms)), 2) for name, ms in predict_ms.items()},
        "predict_cpu_ms": round(predict_cpu_s * 1e3 / rounds, 1),
        "decode_cpu_ms": round(float(np.mean(decode_cpu_s)) * 1e3, 1),
        "one_client": {contender.name: contender.summary() for contender in contenders},
        f"{CLIENTS}_clients": concurrent,
        # PaddleX downloads a font before it draws for the first time, which fails offline.
        "left_out": {name: str(error) for name, error in failures.items()},
    }


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Start the servers, measure, and return the results."""
    jpeg = resized_jpeg(args.photo, args.size)
    photo = folder / "photo.jpg"
    photo.write_bytes(jpeg)
    image = cv2.imread(str(photo))
    model_dir = args.model_dir or DEMO
    flags = ["--model_dir", str(model_dir), "--device", "cpu", "--threads", str(args.threads)]
    requests = {
        "": request_for(jpeg, visualize=False),
        ", drawn": request_for(jpeg, visualize=True),
    }
    with contextlib.ExitStack() as stack:
        pipeline = stack.enter_context(
            hpip.create_pipeline(model_dir=str(model_dir), device="cpu", threads=args.threads)
        )

        def predict() -> float:
            start_s = time.perf_counter()
            list(pipeline.predict(image))
            return time.perf_counter() - start_s

        predictors: dict[str, Callable[[], float]] = {"hpip": predict}
        servers = {"hpip": stack.enter_context(hpip_server(flags, folder / "hpip.log"))}
        if args.paddlex_python:
            name = args.paddlex_name or (args.model_dir.name if args.model_dir else PADDLEX_NAME)
            file = paddlex_pipeline(model_dir, name, folder, args.threads)
            predictors["paddlex"] = stack.enter_context(
                paddlex_predict(args.paddlex_python, file, photo)
            )
            servers["paddlex"] = stack.enter_context(
                paddlex_server(args.paddlex_python, file, folder / "paddlex.log")
            )
        contenders = [
            Contender(f"{name}{suffix}", server, request)
            for name, server in servers.items()
            for suffix, request in requests.items()
        ]
        return {
            "model": model_dir.name,
            "picture": f"{args.size[0]}x{args.size[1]} JPEG, {len(jpeg)} bytes",
            "instances": len(next(iter(pipeline.predict(image))).rle),
            "threads": args.threads,
            "rounds": args.rounds,
            **asyncio.run(
                measure(
                    contenders,
                    predictors,
                    jpeg,
                    rounds=args.rounds,
                    crowd_requests=args.crowd_requests,
                )
            ),
        }


def _wh(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--model_dir", type=Path, help="model directory; default: the demo model")
    made.add_argument("--photo", type=Path, default=DEMO / "scene_0013.jpg")
    made.add_argument("--size", type=_wh, default=(1920, 1080), help="WIDTHxHEIGHT")
    made.add_argument("--rounds", type=int, default=30)
    made.add_argument("--crowd-requests", type=int, default=80)
    made.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    made.add_argument("--paddlex-python", type=Path, help="interpreter with paddlex[base,serving]")
    made.add_argument("--paddlex-name", help="official name under which PaddleX loads the model")
    made.add_argument("--output", type=Path)
    return made


def main() -> None:
    """Run the benchmark and write the results."""
    args = parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_figures(run(args, Path(folder)), args.output)


if __name__ == "__main__":
    main()
