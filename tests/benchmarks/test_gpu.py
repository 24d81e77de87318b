# SPDX-License-Identifier: Apache-2.0
"""What the GPU benchmark decides, and that it explains itself where there is no GPU."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("rich", reason="the benchmark's extra is not installed")

from benchmarks.gpu.conformance import results
from benchmarks.gpu.machine import fingerprint, installed, version_of
from benchmarks.gpu.plan import Plan, bench_arguments, make_plan
from hpip.backends.base import Probe
from hpip.bench.cli import _parser
from hpip.bench.environment import gpus
from hpip.bench.run import BenchRun
from hpip.bench.settings import BenchSettings, load_suite, merge
from hpip.cli.doctor import Environment

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "benchmarks" / "suite-gpu.yaml"
PACKAGES = ("pytest", "hypothesis", "rich")
H200 = ["NVIDIA H200, 580.95.05, 143771 MiB"]
HERE = Environment(
    python=(3, 11),
    machine="x86_64",
    cpu_features=("avx2",),
    isa="avx2",
    isas=("scalar", "avx2"),
    cpus=16,
    usable_cpus=16,
    free_bytes=10**11,
    versions={"paddlepaddle": "3.2.2", "onnxruntime-gpu": "1.31.1"},
    probes={
        "paddle": Probe("3.2.2", "", ("cpu",)),
        "paddle_onednn": Probe("3.2.2", "", ("cpu",)),
        "paddle_tensorrt": Probe(None, "paddle 3.2.2 sees no GPU here", ()),
        "onnxruntime": Probe("1.31.1", "", ("cpu", "gpu:0")),
        "openvino": Probe(None, "openvino is not installed", ()),
        "tensorrt": Probe(None, "tensorrt is not installed", ()),
    },
    has_gpu=True,
)
WITH_TENSORRT = {**HERE.probes, "tensorrt": Probe("10.16.1", "", ("gpu:0",))}
WITH_PADDLE = {**HERE.probes, "paddle": Probe("3.2.2", "", ("cpu", "gpu:0"))}


def plan(seen: Environment = HERE, listed=H200, packages=PACKAGES) -> Plan:
    suite = load_suite(SUITE)
    return make_plan(seen, listed, packages, suite["backends"], suite["precisions"])


def missing(found: Plan) -> dict[str, str]:
    return {one.what: str(one) for one in found.missing}


def test_wheels_of_pypi_alone_are_enough() -> None:
    found = plan()
    assert found.runs
    assert found.engines == {"onnxruntime": "1.31.1"}
    assert found.wheels == {"onnxruntime-gpu": "1.31.1"}
    assert found.backends == ("auto", "onnxruntime")
    assert found.precisions == ("fp32",)
    assert set(missing(found)) == {"paddle", "paddle_tensorrt", "tensorrt"}
    assert "received 3.2.2 for cpu" in missing(found)["paddle"]


def test_more_engines_bring_more_contenders() -> None:
    assert plan(replace(HERE, probes=WITH_PADDLE)).backends == (
        *("auto", "cut-paddle", "paddle"),
        "onnxruntime",
    )
    found = plan(replace(HERE, probes=WITH_TENSORRT))
    assert found.backends == ("auto", "tensorrt", "onnxruntime")
    assert found.precisions == ("fp32", "fp16")


@pytest.mark.parametrize(
    ("seen", "listed", "packages", "what", "received"),
    [
        (replace(HERE, has_gpu=False), [], PACKAGES, "GPU", "no driver"),
        (HERE, [], PACKAGES, "GPU", "nvidia-smi lists none"),
        (HERE, H200, ("rich", "hypothesis"), "pytest", "nothing"),
        (
            replace(HERE, probes={**HERE.probes, "paddle": Probe(None, "not installed", ())}),
            *(H200, PACKAGES, "reference", "not installed"),
        ),
        (
            replace(HERE, probes={"paddle": HERE.probes["paddle"]}),
            *(H200, PACKAGES, "paddle", "3.2.2 for cpu"),
        ),
    ],
)
def test_nothing_runs_without_gpu_reference_tools_or_engine(
    seen: Environment, listed: list[str], packages: tuple[str, ...], what: str, received: str
) -> None:
    found = plan(seen, listed, packages)
    assert not found.runs
    text = missing(found)[what]
    assert received in text
    assert ": expected " in text
    assert " Do: " in text


def test_a_wheel_that_waits_for_a_gpu_is_not_called_missing() -> None:
    probes = {**HERE.probes, "onnxruntime": Probe("1.31.1", "", ("cpu",))}
    assert "onnxruntime" not in missing(plan(replace(HERE, probes=probes, has_gpu=False), []))
    assert "onnxruntime" in missing(plan(replace(HERE, probes=probes)))


@pytest.mark.parametrize("quick", [False, True])
def test_the_tables_get_arguments_that_the_command_takes(quick: bool, tmp_path: Path) -> None:
    arguments = bench_arguments(
        plan(),
        suite=str(SUITE),
        output=str(tmp_path),
        models=["demo"],
        images=[],
        quick=quick,
        resume=True,
    )
    options = _parser().parse_args(arguments)
    given = {name: getattr(options, name) for name in vars(BenchSettings()) if name in options}
    settings = merge(BenchSettings(), load_suite(options.suite), given)
    assert options.resume
    assert (settings.models, settings.devices) == (("demo",), ("gpu:0",))
    assert settings.batch_sizes == ((1,) if quick else (1, 8))
    BenchRun(settings)  # refuses unknown contenders, precisions and devices


def test_the_fingerprint_names_gpu_driver_and_libraries() -> None:
    smi = "| NVIDIA-SMI 580.95.05    Driver Version: 580.95.05    CUDA Version: 13.0     |"
    wheels = {
        "numpy": "2.2.0",
        "nvidia-cuda-runtime": "13.0.96",
        "nvidia-cudnn-cu13": "9.14.0.64",
        "onnxruntime-gpu": "1.31.1",
    }
    found = fingerprint(H200, smi, wheels, {"tensorrt": "10.16.1", "cudnn": "9.1.0"}, None)
    assert found["gpus"] == [{"name": "NVIDIA H200", "driver": "580.95.05", "memory": "143771 MiB"}]
    assert found["driver_cuda"] == "13.0"
    assert (found["cuda"], found["cudnn"], found["tensorrt"]) == ("13.0.96", "9.14.0.64", "10.16.1")
    assert "numpy" not in found["distributions"]
    paddle = fingerprint(H200, "", {}, {}, ("12.6", "9.5.1"))
    assert (paddle["paddle_cuda"], paddle["paddle_cudnn"]) == ("12.6", "9.5.1")
    assert paddle["driver_cuda"] is None
    assert installed()["numpy"]


@pytest.mark.parametrize(
    ("what", "number", "version"),
    [
        ("cuda", 13000, "13.0"),
        ("cuda", 12060, "12.6"),
        ("cudnn", 92801, "9.28.1"),
        ("cudnn", 8907, "8.9.7"),
        ("tensorrt", 101601, "10.16.1"),
        ("tensorrt", 8601, "8.6.1"),
    ],
)
def test_libraries_tell_their_version_in_one_number(what: str, number: int, version: str) -> None:
    assert version_of(what, number) == version


def test_results_are_read_from_pytests_own_report(tmp_path: Path) -> None:
    (tmp_path / "test_toy.py").write_text(
        "import pytest\n"
        "def test_right(): pass\n"
        "def test_wrong(): assert 1 == 2\n"
        "def test_absent(): pytest.skip('no GPU here')\n"
        "@pytest.fixture\n"
        "def broken(): raise OSError('no driver')\n"
        "def test_broken(broken): pass\n"
    )
    junit = tmp_path / "junit.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        [*command, f"--junitxml={junit}"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 1
    found = results(junit.read_text(encoding="utf-8"))
    assert (found["passed"], found["failed"], found["skipped"]) == (1, 2, 1)
    tests = found["tests"]
    assert tests["test_toy::test_right"] == "passed"
    assert tests["test_toy::test_wrong"].startswith("failed: assert 1 == 2")
    assert tests["test_toy::test_absent"] == "skipped: no GPU here"
    assert "no driver" in tests["test_toy::test_broken"]


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_without_a_gpu_it_says_what_is_missing_and_writes_nothing(tmp_path: Path) -> None:
    if gpus():
        pytest.skip("there is a GPU here")
    output = tmp_path / "results"
    done = run_script("--quick", "--output", str(output))
    assert done.returncode == 3, done.stderr
    assert "missing: GPU: expected an NVIDIA GPU" in done.stderr
    assert "Nothing was run" in done.stderr
    assert "Traceback" not in done.stderr
    assert not output.exists()


def test_wrong_usage_is_told_apart() -> None:
    assert run_script("--no-such-flag").returncode == 2
