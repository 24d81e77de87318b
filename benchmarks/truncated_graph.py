# SPDX-License-Identifier: Apache-2.0
"""Compares the truncated graph with the original graph, both on plain Paddle.

    python benchmarks/truncated_graph.py MODEL_DIR [MODEL_DIR ...] --photo P.jpg --size 1080x1920

Each graph runs in a process of its own, which makes the peak memory its own. The results of both
are compared before a row is printed. The truncated graph is compiled and validated beforehand.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpip.common.devices import Device
from hpip.inference.tuning.candidates import EngineOptions
from hpip.inference.tuning.choose import choose
from hpip.model.spec import load_model_spec
from hpip.results.comparison import compare
from hpip.types import RleMask


@dataclass(frozen=True)
class Run:
    """The measurements and the result of one graph."""

    predict_s: list[float]
    cpu_s: list[float]
    load_s: float
    peak_bytes: int
    instances: dict[str, Any]

    @property
    def best_s(self) -> float:
        """The fastest run, which other jobs have disturbed least."""
        return min(self.predict_s)


class ChildPrediction:
    """The instances of one image, from the JSON of a child process."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.boxes_xyxy = np.array(record["boxes"], np.float32).reshape(-1, 4)
        self.scores = np.array(record["scores"], np.float32)
        self.class_ids = np.array(record["class_ids"], np.int64)
        self.rle = [
            RleMask(counts.encode("latin-1"), (h, w), (y, x))
            for counts, h, w, y, x in record["masks"]
        ]


def measure(model_dir: str, options: dict[str, Any]) -> None:
    """In the child process: predict, and print measurements and result as JSON."""
    import cv2

    import hpip

    image = cv2.imread(options["photo"])
    height, width = options["size"]
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    start = time.perf_counter()
    predictor = hpip.create_predictor(
        model_dir=model_dir,
        device="cpu",
        use_hpip=options["use_hpip"],
        threads=options["threads"],
        hpi_config={"backend": "paddle"},
    )
    load_s = time.perf_counter() - start
    times, cpu_times = [], []
    for _ in range(options["repeats"]):
        start, cpu_start = time.perf_counter(), time.process_time()
        (result,) = predictor.predict(image, threshold=options["threshold"])
        times.append(time.perf_counter() - start)
        cpu_times.append(time.process_time() - cpu_start)
    instances = {
        "boxes": result.boxes_xyxy.tolist(),
        "scores": result.scores.tolist(),
        "class_ids": result.class_ids.tolist(),
        "masks": [
            (mask.counts.decode("latin-1"), *mask.crop_hw, *mask.offset_yx) for mask in result.rle
        ],
    }
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([times, cpu_times, load_s, peak_bytes, instances]))


def run_side(model_dir: Path, options: dict[str, Any]) -> Run:
    """Measure one graph in a child process."""
    request = json.dumps({"model_dir": str(model_dir), "options": options})
    command = [sys.executable, __file__, "--child", request]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{model_dir.name}: the child process failed:\n{done.stderr[-2000:]}")
    return Run(*json.loads(done.stdout.splitlines()[-1]))


def compare_sides(model_dir: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Measure both graphs for one model and image size."""
    plain = EngineOptions(backend="paddle")
    spec, threads = load_model_spec(model_dir), options["threads"]
    reason = choose(spec, Device("cpu"), use_hpip=True, threads=threads, options=plain).reason
    cut = run_side(model_dir, {**options, "use_hpip": True})
    stock = run_side(model_dir, {**options, "use_hpip": False})
    comparison = compare(
        ChildPrediction(stock.instances), ChildPrediction(cut.instances), options["threshold"]
    )
    return {
        "model": model_dir.name,
        "size": "x".join(map(str, options["size"])),
        "threshold": options["threshold"],
        "instances": len(cut.instances["scores"]),
        "stock_s": round(stock.best_s, 3),
        "cut_s": round(cut.best_s, 3),
        "ratio": round(stock.best_s / cut.best_s, 2),
        # CPU time of all threads, which stays comparable on a busy machine.
        "cpu_ratio": round(min(stock.cpu_s) / min(cut.cpu_s), 2),
        "stock_cpu_s": round(min(stock.cpu_s), 3),
        "cut_cpu_s": round(min(cut.cpu_s), 3),
        "stock_rss_gb": round(stock.peak_bytes / 1e9, 2),
        "cut_rss_gb": round(cut.peak_bytes / 1e9, 2),
        "cut_load_s": round(cut.load_s, 2),
        "same": comparison.same,
        "violations": comparison.violations(),
        "least_mask_iou": round(comparison.min_mask_iou, 5),
        "plan": reason,
    }


def main() -> None:
    """Measure, print a table, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--size", action="append", default=[], help="image size HxW; repeatable")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path, help="append each row as a line of JSON")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        request = json.loads(args.child)
        measure(request["model_dir"], request["options"])
        return
    columns = ["model", "size", "instances", "stock_s", "cut_s", "ratio"]
    columns += ["stock_cpu_s", "cut_cpu_s", "cpu_ratio", "stock_rss_gb", "cut_rss_gb", "same"]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for model_dir in args.models:
        for size in args.size or ["480x640", "1080x1920"]:
            options = {
                "photo": str(args.photo),
                "size": [int(side) for side in size.split("x")],
                "threshold": args.threshold,
                "threads": args.threads,
                "repeats": args.repeats,
            }
            row = compare_sides(model_dir, options)
            print("| " + " | ".join(str(row[c]) for c in columns) + " |", flush=True)
            if args.json:
                with args.json.open("a") as stream:
                    stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
