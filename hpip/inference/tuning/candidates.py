# SPDX-License-Identifier: Apache-2.0
"""Lists the engines to try on a device, in the order of the configuration shipped with hpip."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources, util
from pathlib import Path
from typing import Any

import yaml

from hpip.backends.base import Precision
from hpip.backends.paddle import plain_paddle_device
from hpip.backends.registry import backend_named, backend_names
from hpip.common.devices import Device
from hpip.common.interpreter import find_interpreter
from hpip.common.system import MKL_CPU_VARIABLE, cpu_facts, installed_version
from hpip.errors import BackendUnavailableError
from hpip.inference.execution.runner import Engine
from hpip.model.spec import ModelSpec

BASELINE = "paddle"
# Some releases of Paddle abort the process in oneDNN: not tried without a child process.
_MAY_CRASH = ("paddle_onednn",)
# With fewer threads, half of them are not faster than all.
_LEAST_THREADS_TO_VARY = 4
# A change of any of these versions invalidates earlier tuning results.
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
class TuningRequest:
    """The model to tune, and the caller's options.

    Attributes:
        spec: the model.
        device: the device to run it on.
        threads: CPU threads.
        precision: lowest allowed precision; used if its results are within its tolerances.
        backend: the backend that the caller named; None to try all.
        settings: options specific to that backend.
        may_convert: False excludes engines that need a conversion to ONNX.
    """

    spec: ModelSpec
    device: Device
    threads: int
    precision: Precision = "fp32"
    backend: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    may_convert: bool = True

    @property
    def baseline(self) -> Engine | None:
        """Plain Paddle, the reference; on the CPU if Paddle does not support the device.

        None for a bundle, which brings the reference's results instead of the original graph.
        """
        if self.spec.bundle is not None:
            return None
        return Engine(BASELINE, plain_paddle_device(self.device), self.threads)

    def require_baseline(self) -> None:
        """Raise BackendUnavailableError for a model directory if Paddle is not installed."""
        if self.spec.bundle is None and util.find_spec("paddle") is None:
            raise BackendUnavailableError(
                BASELINE,
                f"paddlepaddle is not installed, and the model directory {self.spec.model_dir} "
                "needs it.",
                "Install it with: pip install 'hpip[cpu]'. Or export the model where it is "
                "installed (hpip export), and use the bundle here.",
            )

    @property
    def has_int8(self) -> bool:
        """Whether the model is a bundle that was calibrated for int8 when it was written."""
        return self.spec.bundle is not None and self.spec.bundle.manifest.has_int8


def plain_paddle(request: TuningRequest) -> Engine:
    """The baseline of a request for a model directory."""
    assert request.baseline is not None
    return request.baseline


@functools.cache
def _shipped() -> dict[str, Any]:
    text = (resources.files("hpip") / "configs" / "models" / "default.yaml").read_text("utf-8")
    config: dict[str, Any] = yaml.safe_load(text)
    return config


def candidates(request: TuningRequest) -> list[Engine]:
    """Engines to try besides plain Paddle, in the configured order, lower precisions first."""
    config = _shipped()
    if request.backend == BASELINE:
        return []
    if request.backend is not None:
        names = [request.backend]
    else:
        order = config["order"].get(request.device.kind, [])
        known = set(backend_names()) - {BASELINE}
        listed = {name for names in config["order"].values() for name in names}
        # Backends that are not in the configuration were registered by the caller.
        names = [n for n in order if n in known] + sorted(known - listed)
    if find_interpreter() is None:
        names = [name for name in names if name not in _MAY_CRASH]
    is_bundle = request.spec.bundle is not None
    if is_bundle or not request.may_convert:
        wanted = "onnx" if is_bundle else "paddle"
        names = [name for name in names if backend_named(name).format == wanted]
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
            takes_all=is_bundle or request.backend is not None,
        )
        for precision in precisions
        for name in names
    ]


def needs_calibration(engine: Engine) -> bool:
    """Whether the engine can run int8 after calibration with images."""
    if engine.precision != "int8":
        return False
    return backend_named(engine.backend).quantizer(engine.device) is not None


def thread_variants(engine: Engine) -> list[Engine]:
    """The engine with half of the threads; hyperthreads share the units for convolutions."""
    if engine.threads < _LEAST_THREADS_TO_VARY:
        return []
    return [replace(engine, threads=engine.threads // 2)]


def versions() -> dict[str, str]:
    """Versions of the installed engines, read without importing them."""
    return {name: version for name in _DISTRIBUTIONS if (version := installed_version(name))}


def machine_name(device: Device, proc: Path = Path("/proc")) -> str:
    """Describe the hardware that measured latencies hold for: CPU model and features, and GPU.

    The environment variable that selects MKL's kernels is included, because it changes the latency
    of plain Paddle.

    Args:
        device: the device that runs the network.
        proc: mount point of procfs; tests pass their own.
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
    """The caller's options for the choice of the engine.

    Attributes:
        backend: the backend to run on; None lets hpip choose.
        precision: lowest allowed precision.
        settings: options specific to the named backend.
        threads: CPU threads; None for the default.
        may_convert: False excludes engines that need a conversion to ONNX.
    """

    backend: str | None = None
    precision: Precision = "fp32"
    settings: Mapping[str, Any] = field(default_factory=dict)
    threads: int | None = None
    may_convert: bool = True
