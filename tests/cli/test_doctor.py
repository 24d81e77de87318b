# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import pytest

from hpip.backends.base import Probe
from hpip.cli.doctor import Environment, Finding, diagnose
from hpip.cli.tune import print_findings

SOUND = Environment(
    python=(3, 11),
    machine="x86_64",
    cpu_features=("avx2", "avx512f"),
    isa="avx512",
    isas=("scalar", "avx2", "avx512"),
    cpus=8,
    usable_cpus=8,
    free_bytes=16_000_000_000,
    versions={"paddlepaddle": "3.2.2", "numpy": "2.2.6", "onnxruntime": "1.31.1", "onnx": "1.17.0"},
    probes={"paddle": Probe("3.2.2", "", ("cpu",)), "tensorrt": Probe(None, "not installed", ())},
)


def findings(**changes: object) -> list[Finding]:
    return diagnose(replace(SOUND, **changes))


def with_versions(**versions: str | None) -> dict[str, str]:
    changed = {**SOUND.versions, **{k.replace("_", "-"): v for k, v in versions.items()}}
    return {name: version for name, version in changed.items() if version is not None}


def test_an_installation_for_bundles_has_notes_but_no_problem() -> None:
    versions = with_versions(paddlepaddle=None, onnx=None, openvino=None)
    absent = Probe(None, "not installed", ())
    found = findings(
        versions=versions,
        probes={"paddle": absent, "onnxruntime": Probe("1.32.0", "", ("cpu",)), "openvino": absent},
    )
    assert not [finding for finding in found if finding.level == "problem"]
    (note,) = [finding for finding in found if finding.topic == "Paddle"]
    assert "bundles" in note.text
    assert "hpip[cpu]" in note.fix


def test_a_sound_installation_has_nothing_to_fix() -> None:
    found = findings()
    assert {finding.level for finding in found} == {"ok"}
    assert not any(finding.fix for finding in found)
    assert "tensorrt" not in {finding.topic for finding in found}


@pytest.mark.parametrize(
    ("changes", "text", "fix"),
    [
        pytest.param(
            {"versions": with_versions(paddlepaddle="3.3.1")}, "77340", "3.2.2", id="onednn-3.3.1"
        ),
        pytest.param(
            {"versions": with_versions(paddlepaddle="3.3.0")}, "77340", "3.2.2", id="onednn-3.3.0"
        ),
        pytest.param(
            {"versions": with_versions(paddlepaddle="2.6.2")},
            "that Paddle 3 exported",
            "3.2.2",
            id="paddle-2",
        ),
        pytest.param(
            {"versions": with_versions(paddlepaddle=None)}, "not installed", "hpip[cpu]", id="none"
        ),
        pytest.param(
            {"versions": with_versions(paddlepaddle="3.0.0", numpy="2.4.1")},
            "NumPy 2.4.1",
            "numpy<2.4",
            id="numpy",
        ),
        pytest.param({"python": (3, 12)}, "setuptools", "pip install setuptools", id="setuptools"),
        pytest.param(
            {"versions": with_versions(paddlepaddle_gpu="3.2.2")},
            "overwrite",
            "pip uninstall paddlepaddle",
            id="two-paddles",
        ),
        pytest.param(
            {"versions": with_versions(onnxruntime_gpu="1.31.1")},
            "overwrite",
            "pip uninstall onnxruntime",
            id="two-onnxruntimes",
        ),
        pytest.param(
            {"versions": with_versions(onnx=None)}, "converted", "pip install onnx", id="no-onnx"
        ),
        pytest.param({"free_bytes": 500_000_000}, "0.5 GB free", "2 GB", id="memory"),
        pytest.param(
            {"versions": with_versions(opencv_python="4.10", opencv_contrib_python="4.10")},
            "overwrite",
            "pip uninstall opencv-python",
            id="two-opencvs",
        ),
        pytest.param({"can_decode": False}, "decoder", "opencv", id="no-decoder"),
        pytest.param(
            {"cache_writable": False, "cache_dir": "/ro"}, "/ro", "HPIP_CACHE_DIR", id="cache"
        ),
        pytest.param({"budget_error": "HPIP_TUNE_BUDGET_S: oops"}, "oops", "unset", id="budget"),
        pytest.param(
            {
                "has_gpu": True,
                "cuda": ("12.6", "9.5.1"),
                "versions": with_versions(tensorrt="11.0.0"),
            },
            "expects TensorRT 10.5, not 11.0.0",
            "tensorrt==10.5.*",
            id="tensorrt-pair",
        ),
    ],
)
def test_each_defect_is_a_problem_with_a_fix(
    changes: dict[str, object], text: str, fix: str
) -> None:
    problems = [finding for finding in findings(**changes) if finding.level == "problem"]
    assert [f for f in problems if text in f.text and fix in f.fix], problems
    assert all(finding.fix for finding in problems)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"usable_cpus": 2}, "2 of 8"),
        ({"isa": "scalar"}, "run with scalar"),
        ({"cpu_vendor": "AuthenticAMD"}, "without AVX2"),
        ({"has_gpu": True}, "no engine that uses it"),
        ({"probes": {"openvino": Probe(None, "openvino is not installed", ())}}, "not installed"),
    ],
)
def test_what_could_be_better_is_a_note(changes: dict[str, object], text: str) -> None:
    notes = [finding for finding in findings(**changes) if finding.level == "note"]
    assert [note for note in notes if text in note.text and note.fix], notes


@pytest.mark.parametrize(
    "changes",
    [
        {"cpu_vendor": "GenuineIntel"},
        {"cpu_vendor": "AuthenticAMD", "mkl_cpu": "5"},
        {"cpu_vendor": "AuthenticAMD", "cpu_features": ()},
    ],
)
def test_products_are_quick_where_mkl_takes_avx2_or_cannot(changes: dict[str, object]) -> None:
    assert not [finding for finding in findings(**changes) if "AVX2" in finding.text]


def test_fixes_are_printed_with_their_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    fixes = ["pip install 'hpip[cpu]'", "pip install 'hpip[bold]'"]
    print_findings([Finding("topic[red]", "problem", "text", fix) for fix in fixes])
    shown = capsys.readouterr().out
    for text in (*fixes, "topic[red]"):
        assert text in shown


def test_a_gpu_that_is_used_is_fine() -> None:
    found = findings(has_gpu=True, probes={"onnxruntime": Probe("1.31", "", ("cpu", "gpu:0"))})
    assert ("GPU", "ok") in {(finding.topic, finding.level) for finding in found}
