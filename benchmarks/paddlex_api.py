# SPDX-License-Identifier: Apache-2.0
"""Measures hpip's speed-up through PaddleX's API.

    VENV/bin/python -m benchmarks.paddlex_api MODEL_DIR --photo P.jpg --size 1080x1920

It runs in an environment that `tests/paddlex/make_env.py` creates, and interleaves calls with the
same array in random order: PaddleX on plain Paddle, PaddleX with `use_hpip=True`, and hpip's own
pipeline. It compares their results first. Both pipelines with hpip run on the engine that tuning
chose before.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "True")

import cv2
import paddlex

import hpip
from benchmarks.serving.figures import write_figures
from hpip.bench.stats import paired_ratio
from hpip.model.spec import load_model_spec
from tests.paddlex.answers import assert_same_answer
from tests.paddlex.conftest import pipeline_config

PLAIN, THROUGH, DIRECT = "paddlex", "paddlex, use_hpip", "hpip"
Predict = Callable[[Any], Iterable[Any]]


def contenders(model_dir: Path, threads: int, threshold: float) -> dict[str, Predict]:
    """The loaded and tuned pipelines to measure, by name."""
    config = pipeline_config(load_model_spec(model_dir).model_name, model_dir)
    plain = {"run_mode": "paddle", "cpu_threads": threads}
    options: dict[str, Any] = {"config": config, "device": "cpu"}
    pipelines = {
        PLAIN: paddlex.create_pipeline(**options, engine="paddle_static", engine_config=plain),
        THROUGH: paddlex.create_pipeline(**options, use_hpip=True),
        DIRECT: hpip.create_pipeline(**options, use_hpip=True),
    }
    return {
        name: partial(pipeline.predict, threshold=threshold) for name, pipeline in pipelines.items()
    }


def measure(predicts: dict[str, Predict], image: Any, calls: int) -> dict[str, list[float]]:
    """Latencies of the calls in milliseconds, by name."""
    times_ms: dict[str, list[float]] = {name: [] for name in predicts}
    names = list(predicts)
    for _ in range(calls):
        random.shuffle(names)
        for name in names:
            start = time.perf_counter()
            list(predicts[name](image))
            times_ms[name].append((time.perf_counter() - start) * 1e3)
    return times_ms


def main() -> None:
    """Compare the results, measure the latencies, and print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument(
        "--size", default="1080x1920", help="size HxW to which the photo is resized"
    )
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--calls", type=int, default=7)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    height, width = (int(side) for side in args.size.split("x"))
    image = cv2.resize(cv2.imread(str(args.photo)), (width, height))
    hpip.enable_paddlex()
    predicts = contenders(args.model_dir, len(os.sched_getaffinity(0)), args.threshold)
    (wanted,), (found,) = predicts[PLAIN](image), predicts[THROUGH](image)
    assert_same_answer(wanted, found, args.threshold)
    (direct,) = predicts[DIRECT](image)
    assert len(direct.boxes_xyxy) == len(found["boxes"])
    times_ms = measure(predicts, image, args.calls)
    figures: dict[str, Any] = {
        "model": args.model_dir.name,
        "image_hw": [height, width],
        "threshold": args.threshold,
        "instances": len(found["boxes"]),
        "calls": args.calls,
    }
    for name, times in times_ms.items():
        figures[f"{name} ms"] = round(statistics.median(times), 1)
    for name, other in ((THROUGH, PLAIN), (DIRECT, PLAIN), (DIRECT, THROUGH)):
        ratio = paired_ratio(times_ms[name], times_ms[other])
        figures[f"{other} / {name}"] = [
            round(value, 3) for value in (ratio.median, ratio.low, ratio.high)
        ]
    write_figures(figures, args.output)


if __name__ == "__main__":
    main()
