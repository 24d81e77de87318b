# SPDX-License-Identifier: Apache-2.0
"""Which engines are worth a try on a device, in the order of the shipped configuration."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from hpip.backends.base import Precision
from hpip.backends.paddle import plain_paddle_device
from hpip.backends.registry import backend_named, backend_names
from hpip.common.devices import Device
from hpip.common.interpreter import find_interpreter
from hpip.common.system import MKL_CPU_VARIABLE, cpu_facts, installed_version
from hpip.inference.execution.runner import Engine
from hpip.model.spec import ModelSpec

FLOOR = "paddle"
# Releases of Paddle abort the process in oneDNN: never tried where there is no child process.
_MAY_CRASH = ("paddle_onednn",)
# Below this, another number of threads than all is no faster.
_LEAST_THREADS_TO_VARY = 4
# Distributions whose versions decide what engines do. They are read without importing anything.
_DISTRIBUTIONS = (
    "paddlepaddle",
    "paddlepaddle-gpu",
    "paddlepaddle-xpu",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "numpy",
)


@dataclass(frozen=True)
class Request:
    """What is to be run, and what the caller says about how.

    Attributes:
        spec: the model.
        device: where.
        threads: CPU threads.
        precision: the lowest that is allowed; it is used where it passes its gate.
        backend: the one that the caller named, else None.
        settings: what that backend alone knows.
        may_convert: whether engines that need a conversion to ONNX may be tried.
    """

    spec: ModelSpec
    device: Device
    threads: int
    precision: Precision = "fp32"
    backend: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    may_convert: bool = True

    @property
    def floor(self) -> Engine:
        """Plain Paddle, the reference; on the CPU where it does not drive the device."""
        return Engine(FLOOR, plain_paddle_device(self.device), self.threads)


@functools.cache
def _shipped() -> dict[str, Any]:
    text = (resources.files("hpip") / "configs" / "models" / "default.yaml").read_text("utf-8")
    config: dict[str, Any] = yaml.safe_load(text)
    return config


def candidates(request: Request) -> list[Engine]:
    """Engines to try beside plain Paddle, in the prior order; the lower precision comes first."""
    config = _shipped()
    if request.backend == FLOOR:
        return []
    if request.backend is not None:
        names = [request.backend]
    else:
        order = config["order"].get(request.device.kind, [])
        known = set(backend_names()) - {FLOOR}
        listed = {name for names in config["order"].values() for name in names}
        # A backend that the configuration does not know was registered by the caller.
        names = [n for n in order if n in known] + sorted(known - listed)
    if find_interpreter() is None:
        names = [name for name in names if name not in _MAY_CRASH]
    if not request.may_convert:
        names = [name for name in names if backend_named(name).format == "paddle"]
    precisions: list[Precision] = [request.precision]
    if request.backend is None and request.precision != "fp32":
        precisions.append("fp32")
    return [
        Engine(
            name,
            request.device,
            request.threads,
            precision,
            {**config["settings"].get(name, {}), **request.settings},
            takes_all=request.backend is not None,
        )
        for precision in precisions
        for name in names
    ]


def needs_calibration(engine: Engine) -> bool:
    """Whether the engine can run in int8 once its program was made from pictures."""
    if engine.precision != "int8":
        return False
    return backend_named(engine.backend).quantizer(engine.device) is not None


def thread_variants(engine: Engine) -> list[Engine]:
    """The same engine with other numbers of threads: hyperthreads share what convolutions need."""
    if engine.threads < _LEAST_THREADS_TO_VARY:
        return []
    return [replace(engine, threads=engine.threads // 2)]


def versions() -> dict[str, str]:
    """Versions of the engines that are installed, without importing any."""
    return {name: version for name in _DISTRIBUTIONS if (version := installed_version(name))}


def machine_name(device: Device, proc: Path = Path("/proc")) -> str:
    """What the measured times hold for: the processor's model and features, and the GPU's.

    What tells Paddle's MKL which kernels to take is part of it: it changes plain Paddle's times.

    Args:
        device: where the network runs.
        proc: where procfs is mounted; tests give their own.
    """
    parts = [
        value
        for name, value in cpu_facts(proc).items()
        if name in ("model name", "flags", "CPU part", "Features")
    ]
    if kernels := os.environ.get(MKL_CPU_VARIABLE):
        parts.append(f"{MKL_CPU_VARIABLE}={kernels}")
    if device.kind == "gpu":
        folder = proc / "driver" / "nvidia"
        parts += [*_lines(folder / "version")[:1]]
        for path in sorted(folder.glob("gpus/*/information")):
            parts += [line for line in _lines(path) if line.startswith("Model")]
    return "; ".join(parts)


def _lines(path: Path) -> Sequence[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return ()


@dataclass(frozen=True)
class EngineOptions:
    """What the caller says about the engine.

    Attributes:
        backend: the one to run on; None leaves the choice to tuning.
        precision: the lowest that is allowed.
        settings: what the named backend alone knows.
        threads: CPU threads, or None.
        may_convert: whether engines that need a conversion to ONNX may be tried.
    """

    backend: str | None = None
    precision: Precision = "fp32"
    settings: Mapping[str, Any] = field(default_factory=dict)
    threads: int | None = None
    may_convert: bool = True
