# SPDX-License-Identifier: Apache-2.0
"""What this process may use of the machine."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from itertools import takewhile
from pathlib import Path

# The MKL of 2019 that Paddle brings takes its AVX2 kernels on Intel's processors alone, and its
# slowest on others, unless this is 5 when its first product is computed.
MKL_CPU_VARIABLE = "MKL_DEBUG_CPU_TYPE"


def available_cpus(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Number of CPUs that this process may keep busy, at least 1.

    The smaller of the process's CPU affinity and its control group's quota, rounded up: a container
    limited to 1.5 CPUs on a 64-core host gets 2. Engines left to themselves start a thread for each
    of the 64.

    Args:
        proc: where procfs is mounted; tests give their own.
        cgroup: where the control groups are mounted.
    """
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity call
        allowed = os.cpu_count() or 1
    quotas = [quota for folder in _cgroup_folders(proc, cgroup) if (quota := _cpu_quota(folder))]
    return max(1, min([allowed, *(math.ceil(quota) for quota in quotas)]))


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None; imports nothing of it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def cpu_facts(proc: Path = Path("/proc")) -> dict[str, str]:
    """What Linux says of the first processor, by the names of `/proc/cpuinfo`; else empty.

    Args:
        proc: where procfs is mounted; tests give their own.
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
    """The processor's name, or "unknown"; from `cpu_facts`."""
    known = facts.get("model name") or facts.get("CPU implementer")
    return known or platform.processor() or "unknown"


def available_memory_bytes(
    proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Memory that this process may still take, or None where the system does not tell.

    The smaller of what the machine has free and what the control group leaves.

    Args:
        proc: where procfs is mounted; tests give their own.
        cgroup: where the control groups are mounted.
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
    """What a control group's limit leaves, or None where it sets none."""
    try:
        limit, used = (int((folder / f"memory.{n}").read_text()) for n in ("max", "current"))
    except (OSError, ValueError):  # no such file, or "max"
        return None
    return limit - used + _file_cache_bytes(folder)


def _file_cache_bytes(folder: Path) -> int:
    """What a control group counts as used and gives back when it is needed."""
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, ValueError, IndexError):
        return 0


def resident_bytes(pid: int, proc: Path = Path("/proc")) -> tuple[int, int]:
    """Memory that a process holds now and held at most; zeros when it is gone.

    Args:
        pid: the process.
        proc: where procfs is mounted; tests give their own.
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
    """Whether there may be an NVIDIA GPU: on a PC, under WSL or on a Jetson; imports no engine."""
    return any(Path(f"/dev/{name}").exists() for name in ("nvidiactl", "dxg", "nvmap"))


def nvidia_gpu_count(dev: Path = Path("/dev"), variables: Mapping[str, str] = os.environ) -> int:
    """NVIDIA GPUs that this process may use, as far as the system tells; imports no engine.

    One under WSL and on a Jetson, which show no more. `CUDA_VISIBLE_DEVICES` is obeyed.

    Args:
        dev: where device files are; tests give their own.
        variables: the environment.
    """
    count = sum(path.name.removeprefix("nvidia").isdigit() for path in dev.glob("nvidia*"))
    count = count or int(any((dev / name).exists() for name in ("dxg", "nvmap")))
    visible = variables.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return count
    # CUDA reads the list up to the first entry that is no device.
    chosen = takewhile(lambda word: word.strip() not in ("", "-1"), visible.split(","))
    return min(count, len(list(chosen)))


def _cgroup_folders(proc: Path, cgroup: Path) -> list[Path]:
    """The process's control group and its parents, in version 2 and version 1 layout.

    Inside a container the path in /proc/self/cgroup may be the host's; the mount's root is then the
    container's own group, so it is always looked at.
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
    """CPUs that the group may use, or None where it sets no limit."""
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
