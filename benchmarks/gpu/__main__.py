# SPDX-License-Identifier: Apache-2.0
"""Run the backends' tests and benchmarks on this machine's GPU.

    python -m benchmarks.gpu [--quick] [--models DIR ...] [--images PATH ...] [--output FOLDER]

It writes machine.json (hardware, software, and what is missing), conformance.json (the tests) and
bench.json; a second run continues interrupted benchmarks. Exit codes: 0, success; 1, a test or a
contender failed; 2, wrong usage; 3, the machine lacks something, which the command names; 130,
interrupted.
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
    """Run the tests and the benchmarks; returns the exit code."""
    options = _options(arguments)
    suite = load_suite(_SUITE)
    seen, listed = examine(), gpus()
    packages = [n for n in ("pytest", "hypothesis", "rich") if util.find_spec(n) is not None]
    plan = make_plan(seen, listed, packages, suite["backends"], suite["precisions"])
    for name, version in plan.wheels.items():
        print(f"installed: {name} {version}")
    for one in plan.missing:
        print(f"missing: {one}", file=sys.stderr)
    if not plan.runs:
        print(
            "Nothing was run. The benchmark needs a GPU, an engine that supports it, plain Paddle "
            "as the reference (the CPU build is enough), and the packages named above.",
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
    """Run the tests and write the results; returns whether none failed."""
    with tempfile.TemporaryDirectory(prefix="hpip-gpu-") as folder:
        junit = Path(folder) / "junit.xml"
        code = conformance.run_tests(_ROOT, junit, "not slow")
        if not junit.is_file():
            print(f"pytest exited with code {code} without a report", file=sys.stderr)
            return False
        found = conformance.results(junit.read_text(encoding="utf-8"))
    _write(path, {"environment": place, **found})
    return code == 0


def _tables(options: argparse.Namespace, plan: Plan, models: Sequence[str]) -> bool:
    """Run or continue the benchmarks; returns whether no contender failed."""
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
    """The models of the suite that are on disk or can be downloaded; prints the others."""
    return [name for name in models if _is_found(name)]


def _is_found(name: str) -> bool:
    try:
        find_model(name)
    except HpipError as error:
        print(f"skipped: {error}", file=sys.stderr)
        return False
    return True


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description="Run the backends' tests and benchmarks on this machine's GPU.",
    )
    parser.add_argument(
        "--models", nargs="+", default=[], help="model directories, official names, or demo"
    )
    parser.add_argument(
        "--images", nargs="+", default=[], help="files or directories; default: the demo images"
    )
    parser.add_argument(
        "--quick", action="store_true", help="run the demo model only, for a few minutes"
    )
    parser.add_argument("--output", type=Path, default=_RESULTS, help="directory for the results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; run the command again to continue", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except HpipError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_NOT_RIGHT)
