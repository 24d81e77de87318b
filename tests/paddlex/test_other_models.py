# SPDX-License-Identifier: Apache-2.0
"""Models that are no instance segmentation: `use_hpip=True` runs them, and changes no answer."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from hpip.errors import BackendUnavailableError

LABELS = ("dark", "bright")


@pytest.fixture(scope="module")
def classifier_dir(tmp_path_factory: pytest.TempPathFactory, _imported: ModuleType) -> Path:
    """An image classifier that tells dark pictures from bright ones."""
    import paddle

    class Brightness(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.gain = self.create_parameter(
                [1], default_initializer=paddle.nn.initializer.Constant(1.0)
            )

        def forward(self, x):
            # A sum of few numbers, which every engine gets right to the last digits.
            bright = (x[:, :, ::32, ::32] * self.gain).mean(axis=[1, 2, 3]).unsqueeze(1)
            return paddle.concat([1 - bright, bright], axis=1)

    folder = tmp_path_factory.mktemp("classifier") / "PP-LCNet_x1_0"
    folder.mkdir()
    network = paddle.jit.to_static(
        Brightness(),
        input_spec=[paddle.static.InputSpec([None, 3, 224, 224], "float32", name="x")],
        full_graph=True,
    )
    network.eval()
    paddle.jit.save(network, str(folder / "inference"))
    normalize = {"mean": [0.0] * 3, "std": [1.0] * 3, "scale": 1 / 255, "order": ""}
    config = {
        "Global": {"model_name": "PP-LCNet_x1_0"},
        "PreProcess": {
            "transform_ops": [
                {"ResizeImage": {"size": 224}},
                {"NormalizeImage": {**normalize, "channel_num": 3}},
                {"ToCHWImage": None},
            ]
        },
        "PostProcess": {"Topk": {"topk": 2, "label_list": list(LABELS)}},
    }
    (folder / "inference.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return folder


def classify(paddlex: ModuleType, folder: Path, **options: Any) -> list[dict[str, Any]]:
    model = paddlex.create_model("PP-LCNet_x1_0", model_dir=str(folder), device="cpu", **options)
    pictures = [np.full((40, 60, 3), value, np.uint8) for value in (30, 220)]
    return list(model.predict(pictures, batch_size=2))


@pytest.mark.parametrize(
    "hpi_config",
    [
        None,
        {"auto_config": True},
        {"backend": "paddle", "backend_config": {"run_mode": "paddle", "cpu_threads": 1}},
    ],
)
def test_another_model_answers_as_without_use_hpip(
    paddlex: ModuleType, classifier_dir: Path, hpi_config: dict[str, Any] | None
) -> None:
    expected = classify(paddlex, classifier_dir)
    found = classify(paddlex, classifier_dir, use_hpip=True, hpi_config=hpi_config)
    assert [result["label_names"][0] for result in expected] == ["dark", "bright"]
    for wanted, result in zip(expected, found, strict=True):
        assert type(result) is type(wanted)
        assert result["label_names"] == wanted["label_names"]
        np.testing.assert_allclose(result["scores"], wanted["scores"], atol=2e-5)


def test_another_pipeline_runs(paddlex: ModuleType, classifier_dir: Path) -> None:
    module = {
        "module_name": "image_classification",
        "model_name": "PP-LCNet_x1_0",
        "model_dir": str(classifier_dir),
        "batch_size": 1,
        "topk": 1,
    }
    pipeline = paddlex.create_pipeline(
        config={
            "pipeline_name": "image_classification",
            "SubModules": {"ImageClassification": module},
        },
        device="cpu",
        use_hpip=True,
    )
    (result,) = pipeline.predict(np.full((40, 60, 3), 220, np.uint8))
    assert result["label_names"] == ["bright"]


def test_a_tuned_model_goes_on_answering_the_same(
    paddlex: ModuleType,
    has_engines: bool,
    classifier_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not has_engines:
        pytest.skip("before 3.5, PaddleX's own runner runs other models")
    monkeypatch.setenv("HPIP_TUNE_BUDGET_S", "60")
    model = paddlex.create_model(
        "PP-LCNet_x1_0", model_dir=str(classifier_dir), device="cpu", use_hpip=True
    )
    pictures = [np.full((40, 60, 3), value, np.uint8) for value in (30, 220)]
    first, *later = (list(model.predict(pictures, batch_size=2)) for _ in range(3))
    for results in later:
        for wanted, result in zip(first, results, strict=True):
            assert result["label_names"] == wanted["label_names"]
            np.testing.assert_allclose(result["scores"], wanted["scores"], atol=2e-5)
    assert "onnxruntime" in model._predictor.runner.run.reason


def test_a_backend_can_be_asked_for(
    paddlex: ModuleType, has_engines: bool, classifier_dir: Path
) -> None:
    pytest.importorskip("onnxruntime")
    if not has_engines:
        pytest.skip("before 3.5, PaddleX's own runner runs other models")
    expected = classify(paddlex, classifier_dir)
    found = classify(paddlex, classifier_dir, use_hpip=True, hpi_config={"backend": "onnxruntime"})
    for wanted, result in zip(expected, found, strict=True):
        assert result["label_names"] == wanted["label_names"]
        np.testing.assert_allclose(result["scores"], wanted["scores"], atol=2e-5)


def test_a_backend_that_was_asked_for_is_never_another_one(
    paddlex: ModuleType, classifier_dir: Path
) -> None:
    with pytest.raises(BackendUnavailableError, match="openvino"):
        classify(paddlex, classifier_dir, use_hpip=True, hpi_config={"backend": "openvino"})


def test_the_engine_can_be_named(paddlex: ModuleType, classifier_dir: Path) -> None:
    (dark, bright) = classify(paddlex, classifier_dir, engine="hpip")
    assert (dark["label_names"][0], bright["label_names"][0]) == LABELS
