# SPDX-License-Identifier: Apache-2.0
"""What int8 costs in accuracy and saves in processor time, on pictures that it was not made from.

    python -m benchmarks.int8 MODEL_DIR [MODEL_DIR ...] --input PICTURES [--input PICTURES]

Each engine runs the model in fp32 and in int8; answers are held against plain Paddle's. The time is
the processor's for one picture, from pixels to run-length codes, on one thread: the quickest of
interleaved rounds, which other work on the machine disturbs least. Models of a free input size run
as in tuning, at 320x544.
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
from hpip.inference.execution.plan import CutPlan
from hpip.inference.execution.postprocess import Selection
from hpip.inference.execution.runner import Engine, Runner
from hpip.inference.tuning.calibrate import Calibration, calibrate
from hpip.inference.tuning.candidates import versions
from hpip.inference.tuning.cut_check import small_input
from hpip.inference.tuning.gates import GATES, Answer, judge
from hpip.inference.tuning.images import MOST_TO_CALIBRATE, read_pictures, split_for_calibration
from hpip.model.spec import load_model_spec
from hpip.types import UInt8Array

RESULTS = Path(__file__).parent / "results" / "int8.json"
ENGINES = ("onnxruntime", "openvino")
CPU = Device("cpu")
THRESHOLD, TIMED_AT = 0.3, 0.5


def answers(runner: Runner, pictures: list[UInt8Array]) -> list[Answer]:
    """The instances of each picture."""
    return [Answer(THRESHOLD, *runner.infer([image], Selection(THRESHOLD))) for image in pictures]


def cpu_ms(runner: Runner, image: UInt8Array) -> float:
    """Milliseconds of the processor for one picture."""
    start = time.process_time()
    runner.infer([image], Selection(TIMED_AT))
    return (time.process_time() - start) * 1e3


def rows_of(model_dir: Path, pictures: list[UInt8Array], rounds: int) -> Iterator[dict[str, Any]]:
    """One row for each engine and precision."""
    spec = small_input(load_model_spec(model_dir))
    plan = CutPlan(compile_model(spec.files))
    for_ranges, held_out = split_for_calibration(pictures)
    calibration = Calibration(for_ranges, spec.preprocess)
    engines = [Engine(name, CPU, 1) for name in ENGINES]
    for name in ENGINES:
        engines.append(Engine(name, CPU, 1, "int8", calibration=calibration.key))
        calibrate(plan, engines[-1], calibration)
    with closing(Runner(plan, spec.preprocess, Engine("paddle", CPU, 1))) as floor:
        wanted = answers(floor, held_out)
    with ExitStack() as stack:
        runners = [
            stack.enter_context(closing(Runner(plan, spec.preprocess, engine)))
            for engine in engines
        ]
        judged = [
            judge(wanted, answers(runner, held_out), GATES[runner.engine.precision])
            for runner in runners
        ]
        times_ms = [[cpu_ms(runner, held_out[0]) for runner in runners] for _ in range(rounds)]
    for index, (engine, judgement) in enumerate(zip(engines, judged, strict=True)):
        yield {
            "model": model_dir.name,
            "engine": engine.backend,
            "precision": engine.precision,
            "pictures": {"calibrated_on": len(for_ranges), "held_out": len(held_out)},
            "passes": judgement.same,
            "figures": judgement.reason,
            "cpu_ms": min(row[index] for row in times_ms),
        }


def main() -> None:
    """Parse arguments, run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--input", action="append", required=True)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--json", type=Path, default=RESULTS)
    args = parser.parse_args()
    pictures = read_pictures(args.input, most=MOST_TO_CALIBRATE)
    rows = []
    for model_dir in args.models:
        for row in rows_of(model_dir, pictures, args.rounds):
            rows.append(row)
            print(json.dumps(row), flush=True)
    content = {"environment": {**environment(), "engines": versions()}, "rows": rows}
    args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
