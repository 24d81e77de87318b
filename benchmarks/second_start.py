# SPDX-License-Identifier: Apache-2.0
"""Compares hpip's time to the first result with a warm cache, with the engine's load time.

    python -m benchmarks.second_start MODEL ... --photo P.jpg

A model is a directory or a bundle.

Two kinds of processes are interleaved: one makes a predictor and segments an image; the other loads
the same graphs with the same engine from the files that hpip converted, without the engine's cache.
Both measure themselves, after Python and hpip are imported.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hpip.backends.base import SessionOptions
from hpip.backends.registry import backend_named
from hpip.bench.environment import environment
from hpip.common.devices import Device
from hpip.common.system import available_cpus
from hpip.inference.execution.program_formats import artifact
from hpip.inference.predictor import create_predictor
from hpip.inference.tuning.choose import choose
from hpip.model.spec import load_model_spec
from hpip.types import Segment

RESULTS = Path(__file__).parent / "results" / "second-start.json"
Laps = dict[str, float]


def start_hpip(model_dir: Path, photo: str) -> tuple[str, Laps]:
    """Seconds to load a predictor, to its first result, and to another result; peak memory."""
    laps, start = {}, time.perf_counter()
    predictor = create_predictor(model_dir=model_dir, device="cpu")
    laps["load_s"] = time.perf_counter() - start
    for name in ("first_result_s", "another_result_s"):
        start = time.perf_counter()
        next(predictor.predict(photo))
        laps[name] = time.perf_counter() - start
    laps["peak_rss_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return predictor.engine.backend, laps


def start_engine(model_dir: Path, _photo: str) -> tuple[str, Laps]:
    """Seconds that the engine alone takes to load the same graphs."""
    spec, device = load_model_spec(model_dir), Device("cpu")
    choice = choose(spec, device, use_hpip=True, threads=available_cpus())
    backend = backend_named(choice.engine.backend)
    options = SessionOptions(
        device, choice.engine.threads, choice.engine.precision, choice.engine.settings
    )
    programs = [
        artifact(step.files, backend.format)
        for step in choice.plan.steps
        if isinstance(step, Segment)
    ]
    if backend.name in sys.modules:
        raise SystemExit(
            f"{backend.name} has been imported already, so its load time would be too short"
        )
    start = time.perf_counter()
    opened = [backend.open(files, options) for files in programs]
    laps = {"engine_load_s": time.perf_counter() - start}
    for session in opened:
        session.close()
    return backend.name, laps


SIDES: dict[str, Callable[[Path, str], tuple[str, Laps]]] = {
    "hpip": start_hpip,
    "engine": start_engine,
}


def run_side(side: str, model_dir: Path, photo: str) -> tuple[str, Laps]:
    """Run one process of a kind."""
    command = [sys.executable, "-m", "benchmarks.second_start", str(model_dir), "--photo", photo]
    done = subprocess.run([*command, "--side", side], stdout=subprocess.PIPE, text=True, check=True)
    engine, laps = json.loads(done.stdout.splitlines()[-1])
    return engine, laps


def compare(model_dir: Path, photo: str, rounds: int) -> dict[str, object]:
    """Medians of both kinds; an untimed start of hpip fills the cache first."""
    engine, _ = run_side("hpip", model_dir, photo)
    laps: dict[str, list[float]] = {}
    for _ in range(rounds):
        for side in SIDES:
            for name, seconds in run_side(side, model_dir, photo)[1].items():
                laps.setdefault(name, []).append(seconds)
    medians = {name: round(statistics.median(seconds), 3) for name, seconds in laps.items()}
    starts = [sum(both) for both in zip(laps["load_s"], laps["first_result_s"], strict=True)]
    ratio = statistics.median(starts) / statistics.median(laps["engine_load_s"])
    return {"model": model_dir.name, "engine": engine, **medians, "ratio": round(ratio, 2)}


def main() -> None:
    """Measure each model; print and save the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path, help="model directories or bundles")
    parser.add_argument("--photo", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(SIDES[args.side](args.models[0], args.photo)))
        return
    rows = []
    for model_dir in args.models:
        rows.append(compare(model_dir, args.photo, args.rounds))
        print(json.dumps(rows[-1]), flush=True)
    content = {"rounds": args.rounds, "environment": environment(), "rows": rows}
    args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
