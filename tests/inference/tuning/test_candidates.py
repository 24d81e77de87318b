# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hpip.backends.registry import backend_named, backend_names
from hpip.common.cache import Cache
from hpip.common.devices import Device
from hpip.common.system import MKL_CPU_VARIABLE
from hpip.errors import InvalidInputError
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning import verdict_store
from hpip.inference.tuning.budget import Clock, Limits
from hpip.inference.tuning.candidates import (
    TuningRequest,
    candidates,
    machine_name,
    thread_variants,
    versions,
)
from hpip.inference.tuning.images import digest, read_images, scene, shipped_images
from hpip.inference.tuning.records import EngineSelection, Trial, Verdict, label
from hpip.inference.tuning.verdict_store import VerdictStore
from hpip.model.spec import ModelSpec, load_model_spec
from hpip.types import PreprocessPlan
from tests.inference.tuning.conftest import Register

CPU = Device("cpu")


@pytest.fixture
def spec(tiny_model_dir: Path) -> ModelSpec:
    return load_model_spec(tiny_model_dir)


def names(request: TuningRequest) -> list[str]:
    return [label(engine) for engine in candidates(request)]


def test_the_shipped_order_names_backends_that_exist(spec: ModelSpec) -> None:
    for kind in ("cpu", "gpu"):
        found = [engine.backend for engine in candidates(TuningRequest(spec, Device(kind), 2))]
        assert found
        assert set(found) <= set(backend_names()) - {"paddle"}


def test_a_lower_precision_is_tried_first_and_fp32_too(spec: ModelSpec) -> None:
    request = TuningRequest(spec, CPU, 2)
    plain = names(request)
    assert names(replace(request, precision="bf16")) == [
        *(name.replace(",", " bf16,", 1) for name in plain),
        *plain,
    ]


def test_a_named_backend_is_the_only_candidate_and_takes_all(spec: ModelSpec) -> None:
    request = TuningRequest(spec, CPU, 2, "bf16", "paddle_onednn", {"mkldnn_cache_capacity": 3})
    (engine,) = candidates(request)
    assert (engine.backend, engine.precision, engine.takes_all) == ("paddle_onednn", "bf16", True)
    assert engine.settings["mkldnn_cache_capacity"] == 3
    assert "delete_pass" in engine.settings
    assert candidates(replace(request, backend="paddle")) == []


def test_without_conversion_only_paddles_own_format_is_tried(spec: ModelSpec) -> None:
    request = TuningRequest(spec, CPU, 2, may_convert=False)
    assert {backend_named(engine.backend).format for engine in candidates(request)} <= {"paddle"}


def test_a_backend_that_no_table_knows_is_tried(
    spec: ModelSpec, only: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpip.inference.tuning import candidates as module

    shipped = module._shipped()
    only("good")
    monkeypatch.setattr(module, "_shipped", lambda: shipped)
    assert names(TuningRequest(spec, CPU, 1)) == ["good, 1 thread"]


def test_thread_counts_vary_where_there_are_enough() -> None:
    engine = Engine("onnxruntime", CPU, 8)
    assert [variant.threads for variant in thread_variants(engine)] == [4]
    assert thread_variants(replace(engine, threads=2)) == []


def test_the_machine_is_its_processor_and_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(MKL_CPU_VARIABLE, raising=False)
    (tmp_path / "cpuinfo").write_text("processor: 0\nmodel name\t: Zen\nflags\t: avx2 fma\n" * 2)
    assert machine_name(CPU, tmp_path) == "Zen; avx2 fma"
    gpu = tmp_path / "driver" / "nvidia" / "gpus" / "0"
    gpu.mkdir(parents=True)
    (gpu / "information").write_text("Model: H200\nIRQ: 3\n")
    (gpu.parents[1] / "version").write_text("NVRM 580.1\nGCC 12\n")
    assert machine_name(CPU, tmp_path) == "Zen; avx2 fma"
    assert machine_name(Device("gpu"), tmp_path) == "Zen; avx2 fma; NVRM 580.1; Model: H200"
    assert machine_name(CPU, tmp_path / "none") == ""
    monkeypatch.setenv(MKL_CPU_VARIABLE, "5")
    assert machine_name(CPU, tmp_path) == "Zen; avx2 fma; MKL_DEBUG_CPU_TYPE=5"


def test_what_is_remembered_holds_for_this_model_machine_and_versions_only(
    spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, request = Cache(tmp_path), TuningRequest(spec, CPU, 2)
    engine = Engine("onnxruntime", CPU, 2)
    trial = Trial(engine, "1", "verified", "right", 10.0, 0.5)
    verdict = Verdict("cut", "why", EngineSelection(engine, "fast", ()), (trial,))
    kept = VerdictStore(cache, request, "program", quick=False)
    kept.save_verdict(verdict)
    kept.save_trial(trial, "pictures")

    def found(
        request: TuningRequest = request, program: str = "program", quick: bool = False
    ) -> bool:
        asked = VerdictStore(cache, request, program, quick=quick)
        return asked.verdict() == verdict

    assert found()
    assert kept.trial(engine, "pictures") == trial
    assert kept.trial(engine, "other pictures") is None
    assert kept.trial(replace(engine, threads=1), "pictures") is None
    assert not found(program="another")
    assert not found(quick=True)
    for change in (
        {"threads": 1},
        {"precision": "bf16"},
        {"device": Device("gpu")},
        {"backend": "openvino"},
        {"settings": {"a": 1}},
        {"may_convert": False},
        {"spec": replace(spec, preprocess=PreprocessPlan(spec.preprocess.steps[:-1]))},
    ):
        assert not found(replace(request, **change)), change
    for name, value in (("versions", {"openvino": "1"}), ("machine_name", "another")):
        with monkeypatch.context() as patch:
            patch.setattr(verdict_store, name, lambda *_, value=value: value)
            assert not found()
    assert found()


def test_versions_are_read_without_importing() -> None:
    assert versions()["numpy"]
    assert "paddlepaddle" in versions() or "paddlepaddle-gpu" in versions()


def test_a_clock_bounds_each_step() -> None:
    clock = Clock(Limits(60, step_s=10))
    assert clock.step_s() == 10
    assert clock.step_s(3) == 3
    assert Clock(Limits(1e-9)).step_s() == 0
    quick = Clock(Limits(0, step_s=10))
    assert quick.quick
    assert quick.step_s() == 10


def test_shipped_images_are_two_and_always_the_same() -> None:
    first, second = shipped_images(), shipped_images()
    assert len(first) == 2
    assert digest(first) == digest(second) != digest(first[::-1])
    assert digest([scene(30, 40)]) != digest([scene(40, 30)])


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"")
    with pytest.raises(InvalidInputError, match="found none that hpip can read"):
        read_images([tmp_path])
