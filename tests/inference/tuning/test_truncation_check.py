# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hpip.graph.program import Program
from hpip.inference.tuning import truncation_check
from hpip.model.spec import ModelSpec, load_model_spec
from tests.graph.heads import coefficient_masks
from tests.inference.tuning.test_choose import SETTINGS


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    folder = coefficient_masks(tmp_path)
    (folder / "inference.yml").write_text(yaml.safe_dump(SETTINGS))
    return load_model_spec(folder)


def test_two_stage_programs_are_checked_with_fewer_regions(zoo_model, tmp_path: Path) -> None:
    files = load_model_spec(zoo_model("MaskRCNN-ResNet50")).files
    target = truncation_check._with_fewer_regions(files, tmp_path / "inference.json")
    assert target is not None
    found = {}
    for op in Program.read(target).walk():
        for name in ("post_nms_top_n", "keep_top_k"):
            if op.has_attribute(name):
                found[name] = op.attribute(name)
    assert found == {"post_nms_top_n": 100, "keep_top_k": 20}


def test_one_stage_programs_are_checked_as_they_are(spec: ModelSpec, tmp_path: Path) -> None:
    assert truncation_check._with_fewer_regions(spec.files, tmp_path / "inference.json") is None
