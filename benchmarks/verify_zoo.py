# SPDX-License-Identifier: Apache-2.0
"""Validates every model's truncated graph against its original graph, both on plain Paddle.

    python benchmarks/verify_zoo.py MODEL_DIR [MODEL_DIR ...] --photo P.jpg [--photo Q.jpg ...]

The plan is the one that users get. A two-stage model takes minutes per photo, mostly for the
original graph. You can interrupt and restart the script: it skips the pairs in the result file,
unless the compiler now writes another graph. Each pair of model and photo has its own process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from hpip.backends.base import SessionOptions
from hpip.backends.paddle import PaddleBackend
from hpip.common.cache import Cache
from hpip.common.devices import Device
from hpip.graph.compile import CompiledModel
from hpip.inference.execution.feeds import session_feeds
from hpip.inference.execution.plan import OriginalPlan, Plan, TruncatedPlan
from hpip.inference.execution.postprocess import InstanceFilter
from hpip.inference.execution.preprocess import network_inputs
from hpip.inference.tuning.budget import Clock, Limits
from hpip.inference.tuning.gates import Prediction, compare_predictions
from hpip.inference.tuning.truncation_check import compile_and_validate
from hpip.inputs.decode import decode_image
from hpip.model.spec import ModelSpec, load_model_spec
from hpip.types import Segment

RESULTS = Path(__file__).parent / "results" / "verify-zoo.json"
THRESHOLDS = (0.3, 0.5)
# The validation of the slowest model takes some minutes.
_CHECK_S = 1800.0


def predictions(
    plan: Plan, spec: ModelSpec, photo: Path, threads: int
) -> tuple[list[Prediction], float]:
    """The instances at each threshold, and the CPU time of the runs of the network."""
    image = decode_image(photo.read_bytes(), photo.name)
    inputs = network_inputs([image], spec.preprocess, threads=threads)
    backend, options = PaddleBackend(), SessionOptions(Device("cpu"), threads)

    def open_segment(segment: Segment) -> Any:
        return backend.open(segment.files, options)

    session = plan.open(open_segment, threads=threads)
    found, outputs = [], None
    start = time.process_time()
    for threshold in THRESHOLDS:
        selection = InstanceFilter(threshold)
        feeds = plan.feeds(inputs, selection)
        if outputs is None or "score_threshold" in session.input_names:
            outputs = session.run(session_feeds(session, feeds))
        (instances,) = plan.collect(
            outputs, inputs, [(image.shape[0], image.shape[1])], selection, threads=threads
        )
        found.append(Prediction(threshold, instances))
    cpu_s = time.process_time() - start
    session.close()
    return found, cpu_s


def used_program(spec: ModelSpec, threads: int) -> CompiledModel:
    """The compiled model that `predict` runs."""
    clock = Clock(Limits(_CHECK_S, step_s=_CHECK_S))
    compiled, check = compile_and_validate(spec, threads=threads, cache=Cache(), clock=clock)
    if not check.same:
        raise SystemExit(f"{spec.model_name} has no truncated graph: {check.reason}")
    return compiled


def verify(model_dir: Path, photo: Path, threads: int) -> list[dict[str, Any]]:
    """In the child process: one row for each threshold."""
    spec = load_model_spec(model_dir)
    compiled = used_program(spec, threads)
    cut, cut_cpu_s = predictions(TruncatedPlan(compiled), spec, photo, threads)
    cut_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wanted, whole_cpu_s = predictions(OriginalPlan(spec), spec, photo, threads)
    rows = []
    for reference, candidate in zip(wanted, cut, strict=True):
        found = compare_predictions(reference, candidate)
        rows.append(
            {
                "model": model_dir.name,
                "photo": photo.name,
                "threshold": reference.threshold,
                "program": compiled.key,
                "segments": len(compiled.segments),
                "same": found.same,
                "violations": found.violations(),
                "matched": found.matched,
                "max_score_diff": found.max_score_diff,
                "max_box_diff_px": found.max_box_diff_px,
                "min_mask_iou": found.min_mask_iou,
                "mean_mask_iou": found.mean_mask_iou,
                "cut_cpu_s": round(cut_cpu_s, 2),
                "untouched_cpu_s": round(whole_cpu_s, 2),
                "cut_rss_gb": round(cut_rss / 1e6, 2),
            }
        )
    return rows


def run_child(model_dir: Path, photo: Path, threads: int) -> list[dict[str, Any]]:
    """Validate one pair in a process of its own."""
    request = json.dumps([str(model_dir), str(photo), threads])
    command = [sys.executable, __file__, "--child", request]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{model_dir.name}, {photo.name}:\n{done.stderr[-2000:]}")
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def main() -> None:
    """Validate the missing pairs; print and save the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--photo", action="append", default=[], type=Path)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        model_dir, photo, threads = json.loads(args.child)
        print(json.dumps(verify(Path(model_dir), Path(photo), threads)))
        return
    rows = json.loads(args.json.read_text()) if args.json.is_file() else []
    for model_dir in args.models:
        key = used_program(load_model_spec(model_dir), args.threads).key
        for photo in args.photo:
            place = (model_dir.name, photo.name)
            if any((row["model"], row["photo"], row["program"]) == (*place, key) for row in rows):
                continue
            new = run_child(model_dir, photo, args.threads)
            rows = [row for row in rows if (row["model"], row["photo"]) != place] + new
            args.json.write_text(json.dumps(rows, indent=1) + "\n")
            for row in new:
                print(*(row[name] for name in ("model", "photo", "threshold", "matched", "same")))
                print(*row["violations"], flush=True)
    different = [row for row in rows if not row["same"]]
    print(f"{len(rows) - len(different)} of {len(rows)} rows passed the validation")


if __name__ == "__main__":
    main()
