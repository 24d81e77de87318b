# SPDX-License-Identifier: Apache-2.0
"""Decides what can run on this machine's GPU, as a pure function, and what is missing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hpip.backends.base import Probe
from hpip.cli.doctor import Environment

DEVICE = "gpu:0"
# Contenders of `hpip bench` that are not engines, and the engine that they run on.
_RUNS_ON = {"paddle": "paddle", "cut-paddle": "paddle"}
_AUTO = "auto"
_HALF_PRECISION = ("paddle_tensorrt", "tensorrt")
_PADDLE_WHEEL = "paddlepaddle-gpu"
# For each engine with GPU support: its distribution, its requirements, and how to install it.
_NEEDS = {
    "paddle": (
        _PADDLE_WHEEL,
        "Paddle's GPU build",
        "install paddlepaddle-gpu from Paddle's own package index",
    ),
    "paddle_tensorrt": (
        _PADDLE_WHEEL,
        "Paddle's GPU build and the TensorRT version with which it was built",
        "`hpip doctor` shows which versions fit together",
    ),
    "onnxruntime": (
        "onnxruntime-gpu",
        "a build with CUDA, and the CUDA libraries",
        "pip uninstall onnxruntime, then pip install 'hpip[gpu]'",
    ),
    "tensorrt": (
        "tensorrt",
        "TensorRT 10 or 11 with cuda-bindings",
        "install tensorrt from NVIDIA's index, then pip install cuda-bindings",
    ),
}


@dataclass(frozen=True)
class Missing:
    """A missing requirement."""

    what: str
    expected: str
    received: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}: expected {self.expected}; received {self.received}. Do: {self.fix}"


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        engines: version of each backend that supports the GPU.
        wheels: installed distributions with GPU support and their versions, with or without a GPU.
        missing: missing requirements.
        backends: contenders, by their names in `hpip bench`.
        precisions: precisions of the contenders.
        runs: whether there is anything to run.
    """

    engines: dict[str, str]
    wheels: dict[str, str]
    missing: tuple[Missing, ...]
    backends: tuple[str, ...]
    precisions: tuple[str, ...]
    runs: bool


def make_plan(
    seen: Environment,
    gpus: Sequence[str],
    packages: Collection[str],
    backends: Sequence[str],
    precisions: Sequence[str],
) -> Plan:
    """Decide what to run.

    Args:
        seen: the findings of `hpip doctor`.
        gpus: the GPUs that nvidia-smi lists.
        packages: those of `pytest`, `hypothesis` and `rich` that can be imported.
        backends: the suite's contenders.
        precisions: the suite's precisions.
    """
    missing = [*_machine(seen, gpus), *_tools(seen, packages)]
    runs = not missing
    engines: dict[str, str] = {}
    wheels = {need[0]: v for need in _NEEDS.values() if (v := seen.versions.get(need[0]))}
    for name, (wheel, expected, fix) in _NEEDS.items():
        probe = seen.probes.get(name, Probe(None, "not checked", ()))
        if probe.version is not None and DEVICE in probe.devices:
            engines[name] = probe.version
        elif gpus or wheel not in wheels:
            has = probe.reason or f"{probe.version} for {', '.join(probe.devices)}"
            missing.append(Missing(name, expected, has, fix))
    chosen = [name for name in backends if _takes_part(name, engines)]
    half = any(name in engines for name in _HALF_PRECISION)
    return Plan(
        engines,
        wheels,
        tuple(missing),
        tuple(chosen),
        tuple(precisions) if half else ("fp32",),
        runs and bool(engines),
    )


def _takes_part(contender: str, engines: Collection[str]) -> bool:
    if contender == _AUTO:
        return bool(engines)
    return _RUNS_ON.get(contender, contender) in engines


def _machine(seen: Environment, gpus: Sequence[str]) -> list[Missing]:
    if gpus and seen.has_gpu:
        return []
    received = "a driver, but nvidia-smi lists none" if seen.has_gpu else "no driver"
    fix = "run this on a machine with a GPU; a container needs its devices (docker run --gpus all)"
    return [Missing("GPU", "an NVIDIA GPU that nvidia-smi lists", received, fix)]


def _tools(seen: Environment, packages: Collection[str]) -> list[Missing]:
    found = []
    probe = seen.probes.get("paddle")
    if probe is None or probe.version is None:
        received = probe.reason if probe else "nothing"
        fix = "pip install 'hpip[paddle]'"
        found.append(Missing("reference", "Paddle 3, CPU or GPU build", received, fix))
    for name, extra in (("pytest", "dev"), ("hypothesis", "dev"), ("rich", "bench")):
        if name not in packages:
            fix = f"pip install {name}, or 'hpip[{extra}]'"
            found.append(Missing(name, "the package", "nothing", fix))
    return found


def bench_arguments(
    plan: Plan,
    *,
    suite: str,
    output: str,
    models: Sequence[str],
    images: Sequence[str],
    quick: bool,
    resume: bool,
) -> list[str]:
    """Arguments of `hpip bench`, which override the suite's settings."""
    arguments = ["--suite", suite, "--output", output, "--devices", DEVICE]
    arguments += ["--backends", ",".join(plan.backends), "--precisions", ",".join(plan.precisions)]
    arguments += ["--format", "md", "--models", *models]
    if images:
        arguments += ["--images", *images]
    if quick:
        arguments += ["--sizes", "480x640", "--batch-sizes", "1", "--most-images", "3"]
        arguments += ["--least-rounds", "6", "--budget-s", "20", "--width", "0.1"]
    return [*arguments, *(["--resume"] if resume else [])]
