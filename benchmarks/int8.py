# SPDX-License-Identifier: Apache-2.0
"""Measures the accuracy loss and the CPU time of int8, on images that did not calibrate it.

    python -m benchmarks.int8 MODEL_DIR [MODEL_DIR ...] --input IMAGES [--input IMAGES]

Each engine runs the model in fp32 and in int8, and the results are validated against plain
Paddle's. The time is the CPU time of one image on one thread, from pixels to RLE: the minimum of
interleaved rounds, which other jobs disturb least. Models with a dynamic input size run at 320x544,
as in tuning.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from benchmarks.kernels.environment import environment
from hpip.common.devices import Device
from hpip.graph.compile import compile_model
from hpip.inference.execution.plan import TruncatedPlan
from hpip.inference.execution.postprocess import InstanceFilter
from hpip.inference.execution.runner import Engine, Runner
from hpip.inference.tuning.calibrate import Calibration, calibrate
from hpip.inference.tuning.candidates import versions
from hpip.inference.tuning.gates import GATES, Prediction, judge
from hpip.inference.tuning.images import MOST_TO_CALIBRATE, read_images, split_for_calibration
from hpip.inference.tuning.truncation_check import small_input
from hpip.model.spec import load_model_spec
from hpip.types import UInt8Array

RESULTS = Path(__file__).parent / "results" / "int8.json"
ENGINES = ("onnxruntime", "openvino")
CPU = Device("cpu")
THRESHOLD, TIMED_AT = 0.3, 0.5


def predictions(runner: Runner, images: list[UInt8Array]) -> list[Prediction]:
    """The instances of each image."""
    return [
        Prediction(THRESHOLD, *runner.infer([image], InstanceFilter(THRESHOLD))) for image in images
    ]


def cpu_ms(runner: Runner, image: UInt8Array) -> float:
    """CPU time of one image in milliseconds."""
    start = time.process_time()
    runner.infer([image], InstanceFilter(TIMED_AT))
    return (time.process_time() - start) * 1e3


def rows_of(model_dir: Path, images: list[UInt8Array], rounds: int) -> Iterator[dict[str, Any]]:
    """One row for each engine and precision."""
    spec = small_input(load_model_spec(model_dir))
    plan = TruncatedPlan(compile_model(spec.files))
    for_calibration, held_out = split_for_calibration(images)
    calibration = Calibration(for_calibration, spec.preprocess)
    engines = [Engine(name, CPU, 1) for name in ENGINES]
    for name in ENGINES:
        engines.append(Engine(name, CPU, 1, "int8", calibration=calibration.key))
        calibrate(plan, engines[-1], calibration)
    with closing(Runner(plan, spec.preprocess, Engine("paddle", CPU, 1))) as baseline:
        wanted = predictions(baseline, held_out)
    with ExitStack() as stack:
        runners = [
            stack.enter_context(closing(Runner(plan, spec.preprocess, engine)))
            for engine in engines
        ]
        judged = [
            judge(wanted, predictions(runner, held_out), GATES[runner.engine.precision])
            for runner in runners
        ]
        times_ms = [[cpu_ms(runner, held_out[0]) for runner in runners] for _ in range(rounds)]
    for index, (engine, judgement) in enumerate(zip(engines, judged, strict=True)):
        yield {
            "model": model_dir.name,
            "engine": engine.backend,
            "precision": engine.precision,
            "pictures": {"calibrated_on": len(for_calibration), "held_out": len(held_out)},
            "passes": judgement.same,
            "figures": judgement.reason,
            "cpu_ms": min(row[index] for row in times_ms),
        }


def main() -> None:
    """Measure each model; print and save the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--input", action="append", required=True)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--json", type=Path, default=RESULTS)
    args = parser.parse_args()
    images = read_images(args.input, most=MOST_TO_CALIBRATE)
    rows = []
    for model_dir in args.models:
        for row in rows_of(model_dir, images, args.rounds):
            rows.append(row)
            print(json.dumps(row), flush=True)
    content = {"environment": {**environment(), "engines": versions()}, "rows": rows}
    args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
