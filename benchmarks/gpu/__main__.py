# SPDX-License-Identifier: Apache-2.0
"""Run the conformance suite and the tables on this machine's GPU.

    python -m benchmarks.gpu [--quick] [--models DIR ...] [--images PATH ...] [--output FOLDER]

Writes machine.json (what is here, and what is not), conformance.json and bench.json; the tables go
on where they were stopped. Exit codes: 0, all is right; 1, a test or a contender failed; 2, wrong
usage; 3, there is nothing to run on, and what is missing was told; 130, interrupted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib import util
from pathlib import Path
from typing import Any

from benchmarks.gpu import conformance, machine
from benchmarks.gpu.plan import Plan, bench_arguments, make_plan
from hpip.bench.environment import environment, gpus
from hpip.bench.record import FAILED, WRONG, load_report
from hpip.bench.settings import load_suite
from hpip.cli.doctor import Environment, diagnose, examine
from hpip.errors import HpipError
from hpip.model.official import DEMO_NAME, find_model

_ROOT = Path(__file__).resolve().parents[2]
_SUITE = _ROOT / "benchmarks" / "suite-gpu.yaml"
_RESULTS = _ROOT / "benchmarks" / "results" / "gpu"
_NOT_RIGHT, _NOTHING_TO_RUN_ON, _INTERRUPTED = 1, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Do everything; returns the exit code."""
    options = _options(arguments)
    suite = load_suite(_SUITE)
    seen, listed = examine(), gpus()
    packages = [n for n in ("pytest", "hypothesis", "rich") if util.find_spec(n) is not None]
    plan = make_plan(seen, listed, packages, suite["backends"], suite["precisions"])
    for name, version in plan.wheels.items():
        print(f"at hand: {name} {version}")
    for one in plan.missing:
        print(f"missing: {one}", file=sys.stderr)
    if not plan.runs:
        print(
            "Nothing was run: this takes a GPU, one engine that drives it, plain Paddle (its CPU "
            "build will do) as the reference, and the packages named above.",
            file=sys.stderr,
        )
        return _NOTHING_TO_RUN_ON
    options.output.mkdir(parents=True, exist_ok=True)
    place = {**environment(), "gpu": _gpu(seen, listed)}
    findings = [asdict(finding) for finding in diagnose(seen)]
    found = {"environment": place, "plan": asdict(plan), "findings": findings}
    _write(options.output / "machine.json", found)
    tests_right = _conformance(options.output / "conformance.json", place)
    tables_right = _tables(options, plan, suite["models"])
    return 0 if tests_right and tables_right else _NOT_RIGHT


def _gpu(seen: Environment, listed: Sequence[str]) -> dict[str, Any]:
    return machine.fingerprint(
        listed, machine.nvidia_smi(), machine.installed(), machine.loadable(), seen.cuda
    )


def _conformance(path: Path, place: dict[str, Any]) -> bool:
    """Run the tests and write what came out; whether none failed."""
    with tempfile.TemporaryDirectory(prefix="hpip-gpu-") as folder:
        junit = Path(folder) / "junit.xml"
        code = conformance.run_tests(_ROOT, junit, "not slow")
        if not junit.is_file():
            print(f"pytest ended with {code} and wrote no report", file=sys.stderr)
            return False
        found = conformance.results(junit.read_text(encoding="utf-8"))
    _write(path, {"environment": place, **found})
    return code == 0


def _tables(options: argparse.Namespace, plan: Plan, models: Sequence[str]) -> bool:
    """Measure, going on where an earlier run stopped; whether all contenders were right."""
    path = options.output / "bench.json"
    default = [DEMO_NAME] if options.quick else [DEMO_NAME, *_found(models)]
    command = bench_arguments(
        plan,
        suite=str(_SUITE),
        output=str(options.output),
        models=options.models or default,
        images=options.images,
        quick=options.quick,
        resume=path.is_file(),
    )
    code = subprocess.run([sys.executable, "-m", "hpip.bench", *command], check=False).returncode
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    if code != 0 or not path.is_file():
        return False
    bad = [row for row in load_report(path).rows if row.state in (WRONG, FAILED)]
    for row in bad:
        who = f"{row.model}, {row.contender.label}"
        print(f"{row.state}: {who}: {row.error}", file=sys.stderr)
    return not bad


def _found(models: Sequence[str]) -> list[str]:
    """Those of the suite's models that are here or can be downloaded; the others are named."""
    return [name for name in models if _is_found(name)]


def _is_found(name: str) -> bool:
    try:
        find_model(name)
    except HpipError as error:
        print(f"left out: {error}", file=sys.stderr)
        return False
    return True


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description="Run the conformance suite and the tables on this machine's GPU.",
    )
    parser.add_argument("--models", nargs="+", default=[], help="directories, names or demo")
    parser.add_argument("--images", nargs="+", default=[], help="files or folders; default: demo's")
    parser.add_argument("--quick", action="store_true", help="the demo model in a few minutes")
    parser.add_argument("--output", type=Path, default=_RESULTS, help="folder for the results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; run it again to go on", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except HpipError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_NOT_RIGHT)
