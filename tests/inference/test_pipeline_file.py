# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from hpip.errors import InvalidInputError
from hpip.inference.pipeline_file import load_pipeline_config, pipeline_file_text


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_file_is_todays_default() -> None:
    config = load_pipeline_config("instance_segmentation")
    assert (config.model_name, config.model_dir) == ("Mask-RT-DETR-S", None)
    assert (config.batch_size, config.threshold) == (1, 0.5)
    assert config.use_hpip is None
    assert "pipeline_name: instance_segmentation" in pipeline_file_text("instance_segmentation")


def test_a_file_of_3_7_is_read_and_its_deepest_level_wins(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        """
pipeline_name: instance_segmentation
use_hpip: true
hpi_config: {backend: paddle}
SubModules:
  InstanceSegmentation:
    module_name: instance_segmentation
    model_name: SOLOv2
    model_dir: /models/solo
    batch_size: 4
    threshold: 0.25
    use_hpip: false
Serving: {visualize: false}
""",
    )
    config = load_pipeline_config(path)
    assert (config.model_name, config.model_dir) == ("SOLOv2", "/models/solo")
    assert (config.batch_size, config.threshold) == (4, 0.25)
    assert config.use_hpip is False
    assert config.hpi_config == {"backend": "paddle"}
    assert config.serving == {"visualize": False}


@pytest.mark.parametrize(
    ("model", "name", "folder"),
    [("Mask-RT-DETR-L", "Mask-RT-DETR-L", None), ("./output/best", None, "./output/best")],
)
def test_a_file_of_3_0_beta_is_read(
    tmp_path: Path, model: str, name: str | None, folder: str | None
) -> None:
    path = _write(
        tmp_path,
        "Global: {pipeline_name: instance_segmentation}\n"
        f'Pipeline: {{model: "{model}", device: "gpu", batch_size: 2}}\n',
    )
    config = load_pipeline_config(str(path))
    assert (config.model_name, config.model_dir, config.device) == (name, folder, "gpu")
    assert config.batch_size == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("- 1", "expected a mapping"),
        ("pipeline_name: OCR\nSubModules: {}", "'OCR' pipeline"),
        ("pipeline_name: instance_segmentation", "expected SubModules"),
        ("SubModules: {Other: {}}", "SubModules.InstanceSegmentation is missing"),
        ("SubModules: {InstanceSegmentation: {batch_size: many}}", "expected int for batch_size"),
        ("SubModules: {InstanceSegmentation: {threshold: '0.5'}}", "a number for threshold"),
        ("SubModules: {InstanceSegmentation: {use_hpip: 1}}", "expected bool for use_hpip"),
        ("SubModules: 3", "mapping under SubModules"),
        ("Pipeline: {batch_size: 1}", "Pipeline.model is missing"),
    ],
)
def test_a_bad_file_is_an_error_that_names_the_place(
    tmp_path: Path, text: str, message: str
) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(InvalidInputError, match=message) as error:
        load_pipeline_config(path)
    assert str(path) in str(error.value)


def test_unknown_names_and_missing_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="'OCR'"):
        load_pipeline_config("OCR")
    with pytest.raises(InvalidInputError, match="can't read"):
        load_pipeline_config(tmp_path / "none.yaml")
