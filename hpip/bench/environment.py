# SPDX-License-Identifier: Apache-2.0
"""Machine and software of a benchmark run."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hpip.ops as ops
from hpip._core import __version__
from hpip.common.system import MKL_CPU_VARIABLE, available_cpus, cpu_facts, cpu_model

_PACKAGES = (
    *("hpip", "numpy", "paddlepaddle", "paddlepaddle-gpu", "onnxruntime", "onnxruntime-gpu"),
    *("openvino", "tensorrt", "paddle2onnx", "opencv-python-headless", "opencv-contrib-python"),
    *("opencv-python", "paddlex", "tensorrt-cu12", "tensorrt-cu13", "nvidia-cuda-runtime"),
    *("nvidia-cuda-runtime-cu12", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13"),
)
_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")
# Facts that change without a change of machine or software.
_TRANSIENT = ("load_average", "date_utc")


def environment(paddlex_python: str | None = None) -> dict[str, Any]:
    """CPU, memory, system, versions and commit, for the report; without users and paths."""
    facts = cpu_facts()
    return {
        "cpu": cpu_model(facts),
        "cpu_flags": _cpu_flags(facts),
        "mkl_debug_cpu_type": os.environ.get(MKL_CPU_VARIABLE),
        "cpus_of_machine": os.cpu_count(),
        "cpus_allowed": available_cpus(),
        "memory_bytes": _memory_bytes(),
        "gpus": gpus(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": _versions(sys.executable),
        "paddlex_packages": _versions(paddlex_python) if paddlex_python else None,
        "isa": ops.build_info()["isa"],
        "commit": _commit(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def same_environment(environment: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two environments have the same machine and software."""

    def stable(one: dict[str, Any]) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(json.dumps(one))
        return {k: v for k, v in content.items() if k not in (*_TRANSIENT, "sgemm_gflops")}

    return stable(environment) == stable(other)


def differences(environment: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The differences between two environments, one line each."""
    names = [name for name in environment if name not in (*_TRANSIENT, "sgemm_gflops")]
    return [
        f"{name}: {_short(other.get(name))} -> {_short(environment.get(name))}"
        for name in names
        if json.dumps(environment.get(name)) != json.dumps(other.get(name))
    ]


def gpus() -> list[str]:
    """Name, driver version and memory of each NVIDIA GPU."""
    return _ask_nvidia_smi("--query-gpu=name,driver_version,memory.total")


def device_memory_bytes(pids: set[int]) -> int | None:
    """GPU memory that these processes use now; None if unknown."""
    total = None
    for line in _ask_nvidia_smi("--query-compute-apps=pid,used_memory"):
        pid, _, used = line.partition(",")
        if pid.strip().isdigit() and int(pid) in pids:
            total = (total or 0) + int(used.split()[0]) * 2**20
    return total


def _ask_nvidia_smi(query: str) -> list[str]:
    try:
        done = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 60 else text[:57] + "..."


def _cpu_flags(facts: Mapping[str, str]) -> list[str]:
    present = (facts.get("flags") or facts.get("Features") or "").split()
    return [flag for flag in _FLAGS if flag in present]


def _memory_bytes() -> int | None:
    if sys.platform != "win32":
        with contextlib.suppress(ValueError, OSError):
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _versions(python: str) -> dict[str, str]:
    if python == sys.executable:
        return _own_versions()
    code = (
        "import importlib.metadata as m, json\n"
        f"names = {_PACKAGES!r}\n"
        "have = {(d.metadata['Name'] or '').lower(): d.version for d in m.distributions()}\n"
        "print(json.dumps({n: have[n] for n in names if n in have}))"
    )
    try:
        done = subprocess.run(
            [python, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd="/"
        )
        versions: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        # The contender that uses this interpreter will report the failure.
        return {}
    return versions


def _own_versions() -> dict[str, str]:
    have = {
        (one.metadata["Name"] or "").lower(): one.version
        for one in importlib.metadata.distributions()
    }
    have.setdefault("hpip", __version__)
    return {name: have[name] for name in _PACKAGES if name in have}


def _commit() -> str | None:
    """Output of git describe for a checkout, with "-dirty" for local changes; else None."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or None
