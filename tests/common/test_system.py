# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpip.common.system import (
    available_cpus,
    available_memory_bytes,
    cpu_facts,
    nvidia_gpu_count,
    resident_bytes,
)


def _machine(tmp_path: Path, group: str, files: dict[str, str]) -> tuple[Path, Path]:
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(group)
    cgroup.mkdir()
    for name, text in files.items():
        path = cgroup / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return proc, cgroup


@pytest.fixture
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


@pytest.mark.usefixtures("eight_cpus")
@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        pytest.param("0::/\n", {"cpu.max": "150000 100000\n"}, 2, id="quota-rounds-up"),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, 8, id="no-limit"),
        pytest.param("0::/a/b\n", {"a/cpu.max": "300000 100000\n"}, 3, id="limit-of-the-parent"),
        pytest.param("0::/host/path\n", {"cpu.max": "100000 100000"}, 1, id="path-of-the-host"),
        pytest.param(
            "4:cpu,cpuacct:/job\n",
            {
                "cpu,cpuacct/job/cpu.cfs_quota_us": "250000\n",
                "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            },
            3,
            id="version-1",
        ),
        pytest.param(
            "4:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "1"},
            8,
            id="v1-off",
        ),
        pytest.param("0::/\n", {"cpu.max": "10 100000\n"}, 1, id="at-least-one"),
        pytest.param("0::/\n", {"cpu.max": "garbage"}, 8, id="unreadable"),
    ],
)
def test_the_smallest_limit_counts(
    tmp_path: Path, group: str, files: dict[str, str], expected: int
) -> None:
    assert available_cpus(*_machine(tmp_path, group, files)) == expected


def test_affinity_counts_and_missing_folders_do_not_hurt(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "no", tmp_path / "none") == len(os.sched_getaffinity(0))


def test_free_memory_is_what_machine_and_control_group_leave(tmp_path: Path) -> None:
    proc, cgroup = _machine(
        tmp_path,
        "0::/\n",
        {
            "memory.max": "3000000\n",
            "memory.current": "2000000\n",
            "memory.stat": "anon 5\ninactive_file 400000\n",
        },
    )
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 5000 kB\n")
    assert available_memory_bytes(proc, cgroup) == 1_400_000
    (cgroup / "memory.max").write_text("max\n")
    assert available_memory_bytes(proc, cgroup) == 5000 * 1024
    (proc / "meminfo").unlink()
    assert available_memory_bytes(proc, cgroup) is None


def test_resident_memory_of_a_process(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text("Name: x\nVmHWM:\t 300 kB\nVmRSS:\t 200 kB\n")
    assert resident_bytes(7, tmp_path) == (200 * 1024, 300 * 1024)
    assert resident_bytes(8, tmp_path) == (0, 0)
    assert resident_bytes(os.getpid())[0] > 1_000_000


@pytest.mark.parametrize(
    ("files", "visible", "expected"),
    [
        (["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"], None, 2),
        (["nvidia0", "nvidia1"], "1", 1),
        (["nvidia0"], "MIG-5c89852c,GPU-1", 1),
        (["nvidia0", "nvidia1"], "0,-1,1", 1),
        (["nvidia0"], "", 0),
        (["nvidiactl"], None, 0),
        (["dxg"], None, 1),
        ([], None, 0),
    ],
)
def test_gpus_are_counted_as_cuda_counts_them(
    tmp_path: Path, files: list[str], visible: str | None, expected: int
) -> None:
    for name in files:
        (tmp_path / name).touch()
    variables = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert nvidia_gpu_count(tmp_path, variables) == expected


def test_the_first_processor_speaks_for_all(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t: avx2\n\nprocessor\t: 1\nflags\t:\n")
    assert cpu_facts(tmp_path) == {"processor": "0", "flags": "avx2"}
    assert cpu_facts(tmp_path / "none") == {}
