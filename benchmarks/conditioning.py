# SPDX-License-Identifier: Apache-2.0
"""How far does rounding alone move a model's answers? Tells a wrong engine from a wobbly model.

    python -m benchmarks.conditioning MODEL_DIR [MODEL_DIR ...] --photo P.jpg [--engine onnxruntime]

Plain Paddle's answers are held against its own when each number of the network's input is changed
by a relative 6e-8, one rounding of a float32, up or down by chance, and by 1e-6; against its own on
one thread; and against each engine's. The program is cut by the exact passes only. An engine rounds
otherwise at every layer, so it may move an answer further than one rounding of the input does.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.kernels.environment import environment
from hpip.devices import Device
from hpip.graph.compile import compile_model
from hpip.inputs.decode import decode_image
from hpip.model import ModelSpec, load_model_spec
from hpip.plans import CutPlan, Plan
from hpip.postprocess import Selection
from hpip.runner import Engine, Runner
from hpip.sameness import compare
from hpip.tuning.answers import Answer
from hpip.tuning.rounding import ROUNDING, NoisyPlan
from hpip.types import UInt8Array

RESULTS = Path(__file__).parent / "results" / "conditioning.json"
# One rounding of a float32, and what a trial takes for the roundings of a whole network.
NOISES = (6e-8, ROUNDING)
THRESHOLD = 0.5


def answer(plan: Plan, spec: ModelSpec, engine: str, threads: int, image: UInt8Array) -> Answer:
    """The instances of one image."""
    runner = Runner(plan, spec.preprocess, Engine(engine, Device("cpu"), threads))
    try:
        (found,) = runner.infer([image], Selection(THRESHOLD))
    finally:
        runner.close()
    return Answer(THRESHOLD, found)


def rows_of(
    model_dir: Path, image: UInt8Array, engines: list[str], threads: int
) -> Iterator[dict[str, Any]]:
    """One row for each thing that answers are held against."""
    spec = load_model_spec(model_dir)
    compiled = compile_model(spec.files, exact=True)
    plan = CutPlan(compiled)
    wanted = answer(plan, spec, "paddle", threads, image)
    others: list[tuple[str, Plan, str, int]] = [("plain Paddle, 1 thread", plan, "paddle", 1)]
    others += [
        (f"plain Paddle, input x (1 ± {noise:g})", NoisyPlan(plan, noise), "paddle", threads)
        for noise in NOISES
    ]
    others += [(engine, plan, engine, threads) for engine in engines]
    for name, other_plan, engine, engine_threads in others:
        found = answer(other_plan, spec, engine, engine_threads, image)
        figures = compare(wanted, found, THRESHOLD)
        yield {
            "model": model_dir.name,
            "against": name,
            "matched": figures.matched,
            "left_over": len(figures.missing) + len(figures.extra),
            "max_score_diff": figures.max_score_diff,
            "max_box_diff_px": figures.max_box_diff_px,
            "min_mask_iou": figures.min_mask_iou,
            "mean_mask_iou": figures.mean_mask_iou,
            "same": figures.same,
        }


def main() -> None:
    """Parse arguments, run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--engine", action="append", default=[])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, default=RESULTS)
    args = parser.parse_args()
    image, rows = decode_image(args.photo.read_bytes(), args.photo.name), []
    for model_dir in args.models:
        for row in rows_of(model_dir, image, args.engine, args.threads):
            rows.append({**row, "photo": args.photo.name})
            print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
    content = {"threshold": THRESHOLD, "environment": environment(), "rows": rows}
    args.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
