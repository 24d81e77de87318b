# SPDX-License-Identifier: Apache-2.0
"""Checks an installation, and says how to fix each problem.

`examine` collects facts about the machine; `diagnose` is a pure function of these facts.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import util
from pathlib import Path
from typing import Literal, TypeAlias

import hpip.ops as ops
from hpip.backends.base import Probe
from hpip.backends.paddle_onednn import BROKEN_RELEASES
from hpip.backends.registry import backend_names
from hpip.common.cache import default_cache_dir
from hpip.common.system import (
    MKL_CPU_VARIABLE,
    available_cpus,
    available_memory_bytes,
    cpu_facts,
    has_nvidia_driver,
    installed_version,
)
from hpip.errors import InvalidInputError
from hpip.inference.tuning.budget import default_limits
from hpip.inference.tuning.child_process import Child, ChildError, ChildStartError

Level: TypeAlias = Literal["ok", "note", "problem"]

_DISTRIBUTIONS = (
    "numpy",
    "setuptools",
    "paddlepaddle",
    "paddlepaddle-gpu",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnx",
    "openvino",
    "tensorrt",
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd")
# Combinations of CUDA, cuDNN and TensorRT that Paddle 3 documents as compatible.
_PADDLE_GPU_SETS = (("11.8", "8.9", "8.6"), ("12.6", "9.5", "10.5"))
_LITTLE_MEMORY_BYTES = 2e9
_PROBE_LIMIT_S = 60.0


@dataclass(frozen=True)
class Environment:
    """Facts about the machine and the installation.

    Attributes:
        python: version of Python.
        machine: CPU architecture.
        cpu_features: instruction-set extensions that engines and kernels use.
        isa: instruction set that hpip's kernels use.
        isas: instruction sets that the CPU supports.
        cpus: logical CPUs of the machine.
        usable_cpus: logical CPUs that affinity and control group allow.
        free_bytes: available memory; None if unknown.
        versions: installed versions of the relevant distributions.
        probes: version, devices and reason of unavailability of each backend.
        has_gpu: whether an NVIDIA driver is loaded.
        cuda: CUDA and cuDNN versions of Paddle's build; None for a CPU build.
        cache_dir: directory of the cache.
        cache_writable: whether hpip can write to it.
        budget_error: the error in HPIP_TUNE_BUDGET_S; empty if it is valid.
        can_decode: whether an image decoder is installed.
        cpu_vendor: vendor id of the CPU; empty if unknown.
        mkl_cpu: value of MKL_DEBUG_CPU_TYPE; empty if unset.
    """

    python: tuple[int, int]
    machine: str
    cpu_features: tuple[str, ...]
    isa: str
    isas: tuple[str, ...]
    cpus: int
    usable_cpus: int
    free_bytes: int | None
    versions: Mapping[str, str]
    probes: Mapping[str, Probe] = field(default_factory=dict)
    has_gpu: bool = False
    cuda: tuple[str, str] | None = None
    cache_dir: str = ""
    cache_writable: bool = True
    budget_error: str = ""
    can_decode: bool = True
    cpu_vendor: str = ""
    mkl_cpu: str = ""


@dataclass(frozen=True)
class Finding:
    """One line of the report; `fix` is empty if there is nothing to do."""

    topic: str
    level: Level
    text: str
    fix: str = ""


def examine() -> Environment:
    """Collect the facts; engines are imported in a child process, because an import may crash."""
    info = ops.build_info()
    cache_dir = default_cache_dir()
    budget_error = ""
    try:
        default_limits()
    except InvalidInputError as error:
        budget_error = str(error)
    has_gpu = has_nvidia_driver()
    cpu = cpu_facts()
    return Environment(
        python=sys.version_info[:2],
        machine=platform.machine(),
        cpu_features=_cpu_features(cpu),
        isa=info["isa"],
        isas=tuple(info["supported_isas"].split(",")),
        cpus=os.cpu_count() or 1,
        usable_cpus=available_cpus(),
        free_bytes=available_memory_bytes(),
        versions={name: v for name in _DISTRIBUTIONS if (v := installed_version(name))},
        probes=_probe_all(),
        has_gpu=has_gpu,
        cuda=_paddle_cuda() if has_gpu else None,
        cache_dir=str(cache_dir),
        cache_writable=_is_writable(cache_dir),
        budget_error=budget_error,
        can_decode=any(util.find_spec(name) is not None for name in ("cv2", "PIL")),
        cpu_vendor=cpu.get("vendor_id", ""),
        mkl_cpu=os.environ.get(MKL_CPU_VARIABLE, ""),
    )


def diagnose(seen: Environment) -> list[Finding]:
    """Derive the findings: machine, Paddle, other engines, GPU, environment."""
    return [
        *_machine_findings(seen),
        *_paddle_findings(seen),
        *_engine_findings(seen),
        *_gpu_findings(seen),
        *_environment_findings(seen),
    ]


def _machine_findings(seen: Environment) -> list[Finding]:
    features = ", ".join(seen.cpu_features) or "no relevant extensions"
    found = [Finding("processor", "ok", f"{seen.machine}, {features}; kernels: {seen.isa}")]
    if seen.isa != seen.isas[-1]:
        text = f"hpip's kernels run with {seen.isa}, although the CPU supports {seen.isas[-1]}"
        found.append(Finding("processor", "note", text, "unset HPIP_FORCE_ISA"))
    text = f"this process may use {seen.usable_cpus} of {seen.cpus}"
    fix = (
        "raise the CPU limit of the container, or the CPU affinity of the process"
        if seen.usable_cpus < seen.cpus
        else ""
    )
    found.append(Finding("CPUs", "note" if fix else "ok", text, fix))
    if seen.free_bytes is not None:
        little = seen.free_bytes < _LITTLE_MEMORY_BYTES
        text = f"{seen.free_bytes / 1e9:.1f} GB free"
        fix = "free memory: two-stage models and tuning need about 2 GB" if little else ""
        found.append(Finding("memory", "problem" if little else "ok", text, fix))
    return found


def _paddle_findings(seen: Environment) -> list[Finding]:
    cpu, gpu = (seen.versions.get(name) for name in ("paddlepaddle", "paddlepaddle-gpu"))
    version = gpu or cpu
    if version is None and _runs_bundles(seen):
        text = "not installed: hpip runs bundles (`hpip export`), and no model directories"
        return [Finding("Paddle", "note", text, "for model directories: pip install 'hpip[cpu]'")]
    if version is None:
        text = "not installed; hpip validates every engine against plain Paddle"
        return [Finding("Paddle", "problem", text, "pip install 'hpip[cpu]'")]
    found = [Finding("Paddle", "ok", version)]
    if cpu and gpu:
        text = "paddlepaddle and paddlepaddle-gpu overwrite each other"
        found.append(Finding("Paddle", "problem", text, "pip uninstall paddlepaddle"))
    if _number(version) < (3, 0):
        text = f"Paddle {version} can't load models that Paddle 3 exported"
        found.append(Finding("Paddle", "problem", text, "pip install 'paddlepaddle==3.2.2'"))
    if version in BROKEN_RELEASES:
        text = f"oneDNN is broken in Paddle {version} (PaddlePaddle/Paddle#77340)"
        found.append(Finding("Paddle", "problem", text, "pip install 'paddlepaddle==3.2.2'"))
    if _number(version) < (3, 1) and _number(seen.versions.get("numpy", "0")) >= (2, 4):
        text = f"Paddle {version} does not work with NumPy {seen.versions['numpy']}"
        found.append(Finding("Paddle", "problem", text, "pip install 'numpy<2.4'"))
    if seen.python >= (3, 12) and "setuptools" not in seen.versions:
        text = "setuptools is missing: Paddle imports it, and Python 3.12 no longer includes it"
        found.append(Finding("Paddle", "problem", text, "pip install setuptools"))
    if _lacks_avx2_in_mkl(seen):
        text = "plain Paddle multiplies matrices without AVX2: MKL uses it only on Intel CPUs"
        fix = f"export {MKL_CPU_VARIABLE}=5: about twice as fast, with the rounding of Intel CPUs"
        found.append(Finding("Paddle", "note", text, fix))
    return found


def _runs_bundles(seen: Environment) -> bool:
    """Whether an engine is there that needs no Paddle."""
    engines = (seen.probes.get(name) for name in ("onnxruntime", "openvino"))
    return any(probe is not None and probe.version is not None for probe in engines)


def _lacks_avx2_in_mkl(seen: Environment) -> bool:
    foreign = seen.cpu_vendor not in ("", "GenuineIntel")
    return foreign and "avx2" in seen.cpu_features and not seen.mkl_cpu


def _engine_findings(seen: Environment) -> list[Finding]:
    found = []
    if {"onnxruntime", "onnxruntime-gpu"} <= set(seen.versions):
        text = "onnxruntime and onnxruntime-gpu overwrite each other"
        fix = "pip uninstall onnxruntime onnxruntime-gpu, then install one of them"
        found.append(Finding("onnxruntime", "problem", text, fix))
    has_paddle = {"paddlepaddle", "paddlepaddle-gpu"} & set(seen.versions)
    if has_paddle and "onnxruntime" in seen.versions and "onnx" not in seen.versions:
        text = "models can't be converted to ONNX: the onnx package is missing"
        found.append(Finding("onnxruntime", "problem", text, "pip install onnx"))
    for name, probe in seen.probes.items():
        if name.endswith("tensorrt") and not seen.has_gpu:
            continue
        if probe.version is not None:
            text = f"{probe.version} on {', '.join(probe.devices)}"
            found.append(Finding(name, "ok", text))
        else:
            fix = _INSTALL.get(name, "") if "not installed" in probe.reason else ""
            found.append(Finding(name, "note", probe.reason, fix))
    return found


_INSTALL = {
    "paddle": "pip install 'hpip[cpu]'",
    "paddle_onednn": "pip install 'hpip[cpu]'",
    "onnxruntime": "pip install 'hpip[onnxruntime]'",
    "openvino": "pip install 'hpip[openvino]'",
    "tensorrt": "pip install tensorrt (NVIDIA GPUs only; from NVIDIA's package index)",
}


def _gpu_findings(seen: Environment) -> list[Finding]:
    if not seen.has_gpu:
        return []
    found = []
    on_gpu = [
        name
        for name, probe in seen.probes.items()
        if any(device.startswith("gpu") for device in probe.devices)
    ]
    if on_gpu:
        found.append(Finding("GPU", "ok", f"available to {', '.join(on_gpu)}"))
    else:
        text = "an NVIDIA driver is installed, but no engine that uses it"
        fix = "pip install 'hpip[gpu]', or install Paddle's GPU build (README, section GPU)"
        found.append(Finding("GPU", "note", text, fix))
    tensorrt = seen.versions.get("tensorrt")
    if seen.cuda is not None and tensorrt is not None:
        cuda, cudnn = seen.cuda
        fitting = [pair for pair in _PADDLE_GPU_SETS if cuda.startswith(pair[0].split(".")[0])]
        if fitting and not tensorrt.startswith(fitting[0][2]):
            text = f"Paddle's build for CUDA {cuda}, cuDNN {cudnn} expects TensorRT {fitting[0][2]}"
            fix = f"pip install 'tensorrt=={fitting[0][2]}.*'"
            found.append(Finding("TensorRT", "problem", f"{text}, not {tensorrt}", fix))
    if "onnxruntime-gpu" in seen.versions and tensorrt and _number(tensorrt) >= (11, 0):
        text = f"ONNX Runtime's TensorRT provider needs TensorRT 10, not {tensorrt}"
        found.append(Finding("TensorRT", "note", text, "pip install 'tensorrt==10.16.1.11'"))
    return found


def _environment_findings(seen: Environment) -> list[Finding]:
    found = []
    wheels = [name for name in seen.versions if name.startswith("opencv-")]
    if len(wheels) > 1:
        text = f"{' and '.join(wheels)} overwrite each other"
        found.append(Finding("OpenCV", "problem", text, f"pip uninstall {wheels[0]}"))
    if not seen.can_decode:
        text = "no image decoder is installed: hpip can segment arrays, but no files"
        fix = "pip install opencv-python-headless (with PaddleX: opencv-contrib-python)"
        found.append(Finding("OpenCV", "problem", text, fix))
    if seen.cache_writable:
        found.append(Finding("cache", "ok", seen.cache_dir))
    else:
        text = f"{seen.cache_dir} is not writable: hpip tunes each model again at every start"
        found.append(
            Finding("cache", "problem", text, "set HPIP_CACHE_DIR to a writable directory")
        )
    if seen.budget_error:
        fix = "unset HPIP_TUNE_BUDGET_S, or set it to a number of seconds"
        found.append(Finding("settings", "problem", seen.budget_error, fix))
    return found


def _probe_all() -> dict[str, Probe]:
    """The probe of every backend; a crash affects only the backend that caused it."""
    probes: dict[str, Probe] = {}
    left = list(backend_names())
    while left:
        error = _probe_until_crash(left, probes)
        if error is not None:
            probes[left.pop(0)] = Probe(None, f"its probe failed: {error}", ())
    return probes


def _probe_until_crash(
    left: list[str], probes: dict[str, Probe]
) -> ChildError | ChildStartError | None:
    """Move backends from `left` to `probes` until one crashes the child process."""
    try:
        with Child() as child:
            while left:
                probes[left[0]] = child.probe(left[0], limit_s=_PROBE_LIMIT_S)
                left.pop(0)
    except (ChildError, ChildStartError) as error:
        return error
    return None


def _paddle_cuda() -> tuple[str, str] | None:
    try:
        with Child() as child:
            return child.paddle_cuda(limit_s=_PROBE_LIMIT_S)
    except (ChildError, ChildStartError):
        return None


def _cpu_features(cpu: Mapping[str, str]) -> tuple[str, ...]:
    words = (cpu.get("flags") or cpu.get("Features") or "").split()
    return tuple(feature for feature in _CPU_FEATURES if feature in words)


def _is_writable(folder: Path) -> bool:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def _number(version: str) -> tuple[int, ...]:
    parts = []
    for part in version.split(".")[:2]:
        digits = "".join(character for character in part if character.isdigit())
        parts.append(int(digits or 0))
    return tuple(parts)
