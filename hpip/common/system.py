# SPDX-License-Identifier: Apache-2.0
"""CPUs, memory and GPUs that this process may use."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from itertools import takewhile
from pathlib import Path

# Paddle ships MKL of 2019, which uses its AVX2 kernels on Intel processors only, and its slowest
# kernels on others, unless this variable is 5 at the first matrix product.
MKL_CPU_VARIABLE = "MKL_DEBUG_CPU_TYPE"


def allowed_cpus() -> frozenset[int]:
    """Numbers of the CPUs in this process's affinity; empty on other systems than Linux."""
    cpus: set[int] = set()
    if sys.platform == "linux":
        cpus = os.sched_getaffinity(0)
    return frozenset(cpus)


def available_cpus(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Number of CPUs that this process may use, at least 1.

    The smaller of the process's CPU affinity and its control group's quota, rounded up: 2 for a
    container limited to 1.5 CPUs on a 64-core host, where engines by default start 64 threads.

    Args:
        proc: mount point of procfs; tests pass their own.
        cgroup: mount point of the control groups.
    """
    allowed = len(allowed_cpus()) or os.cpu_count() or 1
    quotas = [quota for folder in _cgroup_folders(proc, cgroup) if (quota := _cpu_quota(folder))]
    return max(1, min([allowed, *(math.ceil(quota) for quota in quotas)]))


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None; does not import it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def cpu_facts(proc: Path = Path("/proc")) -> dict[str, str]:
    """Entries of `/proc/cpuinfo` for the first processor; empty on other systems than Linux.

    Args:
        proc: mount point of procfs; tests pass their own.
    """
    facts: dict[str, str] = {}
    try:
        lines = (proc / "cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return facts
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            facts.setdefault(name.strip(), value.strip())
    return facts


def cpu_model(facts: Mapping[str, str]) -> str:
    """Name of the processor from `cpu_facts`, or "unknown"."""
    known = facts.get("model name") or facts.get("CPU implementer")
    return known or platform.processor() or "unknown"


def available_memory_bytes(
    proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Memory that this process can still allocate, or None if the system does not report it.

    The smaller of the machine's available memory and the rest of the control group's limit.

    Args:
        proc: mount point of procfs; tests pass their own.
        cgroup: mount point of the control groups.
    """
    rooms = []
    try:
        for line in (proc / "meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                rooms.append(int(rest.split()[0]) * 1024)
    except (OSError, ValueError, IndexError):
        pass
    rooms += [room for folder in _cgroup_folders(proc, cgroup) if (room := _memory_room(folder))]
    return max(0, min(rooms)) if rooms else None


def _memory_room(folder: Path) -> int | None:
    """Rest of a control group's memory limit, or None without a limit."""
    try:
        limit, used = (int((folder / f"memory.{n}").read_text()) for n in ("max", "current"))
    except (OSError, ValueError):  # no such file, or "max"
        return None
    return limit - used + _file_cache_bytes(folder)


def _file_cache_bytes(folder: Path) -> int:
    """Reclaimable file cache, which a control group counts as used."""
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, ValueError, IndexError):
        return 0


def resident_bytes(pid: int, proc: Path = Path("/proc")) -> tuple[int, int]:
    """Current and peak resident memory of a process; zeros if it no longer exists.

    Args:
        pid: process id.
        proc: mount point of procfs; tests pass their own.
    """
    sizes = {"VmRSS": 0, "VmHWM": 0}
    try:
        for line in (proc / str(pid) / "status").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in sizes:
                sizes[name] = int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return sizes["VmRSS"], sizes["VmHWM"]


def has_nvidia_driver() -> bool:
    """Whether an NVIDIA driver is present (PC, WSL or Jetson); imports no engine."""
    return any(Path(f"/dev/{name}").exists() for name in ("nvidiactl", "dxg", "nvmap"))


def nvidia_gpu_count(dev: Path = Path("/dev"), variables: Mapping[str, str] = os.environ) -> int:
    """Number of NVIDIA GPUs that this process may use, by device files; imports no engine.

    1 under WSL and on a Jetson, which do not list GPUs. `CUDA_VISIBLE_DEVICES` is respected.

    Args:
        dev: folder of the device files; tests pass their own.
        variables: the environment.
    """
    count = sum(path.name.removeprefix("nvidia").isdigit() for path in dev.glob("nvidia*"))
    count = count or int(any((dev / name).exists() for name in ("dxg", "nvmap")))
    visible = variables.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return count
    # CUDA ignores the list from the first invalid entry on.
    chosen = takewhile(lambda word: word.strip() not in ("", "-1"), visible.split(","))
    return min(count, len(list(chosen)))


def _cgroup_folders(proc: Path, cgroup: Path) -> list[Path]:
    """The process's control group and its parents, in version 2 and version 1 layout.

    Inside a container the path in /proc/self/cgroup may be the host's; the mount's root is then the
    container's own group, so it is always included.
    """
    folders = {cgroup, cgroup / "cpu", cgroup / "cpu,cpuacct"}
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroup / controllers if controllers else cgroup
        group = root / path.lstrip("/")
        folders.update([group, *(p for p in group.parents if p.is_relative_to(root))])
    return sorted(folders)


def _cpu_quota(folder: Path) -> float | None:
    """CPUs that the group may use, or None without a limit."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        quota_us = int((folder / "cpu.cfs_quota_us").read_text())
        period_us = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None
