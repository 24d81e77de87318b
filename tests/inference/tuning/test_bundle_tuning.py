# SPDX-License-Identifier: Apache-2.0
"""Tuning of a bundle: its reference results take the place of plain Paddle."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpip.backends import registry
from hpip.common.devices import Device
from hpip.errors import BackendError, BackendUnavailableError, InvalidInputError
from hpip.inference.execution.postprocess import InstanceFilter
from hpip.inference.predictor import Predictor, create_predictor
from hpip.inference.tuning import candidates
from hpip.inference.tuning.budget import Limits
from hpip.inference.tuning.candidates import EngineOptions, TuningRequest
from hpip.inference.tuning.choose import choice_of, choose
from hpip.inference.tuning.tune import known, tune
from hpip.model.spec import load_model_spec
from tests.bundles import DEMO, write_demo_bundle

PATHS = {
    "onnxruntime": "hpip.backends.onnxruntime:OnnxRuntimeBackend",
    "openvino": "hpip.backends.openvino:OpenVinoBackend",
    "paddle": "hpip.backends.paddle:PaddleBackend",
    "paddle_onednn": "hpip.backends.paddle_onednn:PaddleOneDnnBackend",
    "shifted": "tests.inference.tuning.bundle_backends:ShiftedBackend",
    "dying": "tests.inference.tuning.bundle_backends:DyingBackend",
}
Engines = Callable[..., None]


@pytest.fixture
def request_(tmp_path: Path) -> TuningRequest:
    bundle = write_demo_bundle(tmp_path / "demo.hpip")
    return TuningRequest(load_model_spec(bundle), Device("cpu"), 1)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    """Make these the only backends, in this order, here and in children."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))

    def register(*names: str) -> None:
        monkeypatch.setattr(registry, "_BACKENDS", {name: PATHS[name] for name in names})
        order = {"order": {"cpu": list(names)}, "settings": {}}
        monkeypatch.setattr(candidates, "_shipped", lambda: order)

    return register


def _states(request: TuningRequest) -> dict[str, str]:
    verdict = tune(request).verdict
    return {trial.engine.backend: trial.state for trial in verdict.trials}


def test_only_engines_that_take_onnx_are_tried(request_: TuningRequest, engines: Engines) -> None:
    engines("paddle_onednn", "paddle", "onnxruntime")
    assert _states(request_) == {"onnxruntime": "verified"}


def test_an_engine_with_other_results_is_rejected_with_the_figures(
    request_: TuningRequest, engines: Engines
) -> None:
    engines("shifted", "onnxruntime")
    verdict = tune(request_).verdict
    assert verdict.selection.engine.backend == "onnxruntime"
    (rejected,) = verdict.selection.rejected
    assert rejected[0].startswith("shifted")
    assert "differ" in rejected[1]
    assert "plain Paddle's in the bundle" in verdict.selection.reason


@pytest.mark.parametrize("name", ["shifted", "dying"])
def test_without_a_valid_engine_there_is_an_error(
    request_: TuningRequest, engines: Engines, name: str
) -> None:
    engines(name)
    with pytest.raises(BackendError, match="no engine runs the bundle") as caught:
        choose(request_.spec, request_.device, use_hpip=True, threads=1)
    assert name in str(caught.value)
    assert "hpip[onnxruntime,openvino]" in str(caught.value)


def test_without_any_engine_the_error_says_what_to_install(
    request_: TuningRequest, engines: Engines
) -> None:
    engines("paddle")
    with pytest.raises(BackendUnavailableError, match=r"pip install 'hpip\[onnxruntime\]'"):
        tune(request_)


def test_a_short_budget_still_finds_an_engine(request_: TuningRequest, engines: Engines) -> None:
    engines("onnxruntime", "openvino")
    verdict = tune(request_, limits=Limits(0.001)).verdict
    assert verdict.selection.engine.backend == "onnxruntime"
    assert any(name.startswith("openvino") for name in verdict.untried)
    assert not verdict.complete
    later = tune(request_, limits=Limits(60.0)).verdict
    assert {trial.engine.backend for trial in later.trials} == {"onnxruntime", "openvino"}
    assert later.complete or later.provisional


def test_the_verdict_is_remembered(request_: TuningRequest, engines: Engines) -> None:
    engines("onnxruntime")
    assert known(request_) is None
    tuned = tune(request_)
    found = known(request_)
    assert found is not None
    assert found.verdict == tuned.verdict


def test_the_next_valid_engine_is_the_fallback(request_: TuningRequest, engines: Engines) -> None:
    engines("onnxruntime", "openvino")
    tuned = tune(request_, limits=Limits(60.0))
    choice = choice_of(request_, tuned)
    assert choice.fallback is not None
    assert {choice.engine.backend, choice.fallback.backend} == {"onnxruntime", "openvino"}


def test_a_named_engine_is_validated_too(request_: TuningRequest, engines: Engines) -> None:
    engines("shifted", "onnxruntime")
    spec, device = request_.spec, request_.device
    options = EngineOptions(backend="onnxruntime")
    named = choose(spec, device, use_hpip=True, threads=1, options=options)
    assert (named.engine.backend, named.fallback) == ("onnxruntime", None)
    with pytest.raises(BackendError, match="differ"):
        choose(spec, device, use_hpip=True, threads=1, options=replace(options, backend="shifted"))


@pytest.mark.parametrize("options", [{"use_hpip": False}, {"hpi_config": {"backend": "paddle"}}])
def test_the_original_graph_is_not_there(tmp_path: Path, options: dict[str, object]) -> None:
    bundle = write_demo_bundle(tmp_path / "demo.hpip")
    with pytest.raises(InvalidInputError, match="exported from: demo"):
        create_predictor(model_dir=bundle, **options)  # type: ignore[arg-type]


def test_a_predictor_falls_back_when_its_engine_cannot_load(
    request_: TuningRequest, engines: Engines, caplog: pytest.LogCaptureFixture
) -> None:
    engines("onnxruntime", "openvino")
    choice = choice_of(request_, tune(request_, limits=Limits(60.0)))
    assert choice.fallback is not None
    broken = replace(choice, engine=replace(choice.engine, settings={"unknown": 1}))
    with (
        caplog.at_level(logging.WARNING),
        Predictor(
            request_.spec,
            request_.device,
            use_hpip=True,
            threads=1,
            batch_size=1,
            instance_filter=InstanceFilter(0.5),
            choice=broken,
        ) as predictor,
    ):
        (result,) = predictor.predict(DEMO / "scene_0017.jpg")
        assert predictor.engine == choice.fallback
    assert len(result.scores) == 7
    assert f"so {choice.fallback.backend}" in caplog.text
