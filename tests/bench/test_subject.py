# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from hpip.bench.images import load_images, resized
from hpip.bench.subject import find_subjects
from hpip.errors import InvalidInputError
from hpip.model.spec import load_model_spec


def test_models_of_one_folder_name_are_told_apart(tiny_model_dir: Path, tmp_path: Path) -> None:
    for parent in ("old", "new"):
        shutil.copytree(tiny_model_dir, tmp_path / parent / "inference")
    models = [str(tmp_path / parent / "inference") for parent in ("old", "new")]
    subjects = find_subjects([*models, "demo"])
    assert [subject.name for subject in subjects] == ["old/inference", "new/inference", "demo"]
    assert subjects[0].digest == subjects[1].digest != subjects[2].digest


def test_paddlex_gets_a_model_under_a_name_that_it_knows(tmp_path: Path) -> None:
    (demo,) = find_subjects(["demo"])
    name, folder = demo.paddlex_folder(tmp_path)
    assert name == "PP-YOLOE_seg-S"
    again = load_model_spec(folder)
    assert again.model_name == name
    assert again.labels == demo.spec.labels
    assert again.preprocess == demo.spec.preprocess
    assert demo.paddlex_folder(tmp_path) == (name, folder)


def test_a_model_of_an_architecture_that_paddlex_has_not(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(tiny_model_dir, tmp_path / "model")
    config = yaml.safe_load((copy / "inference.yml").read_text())
    (copy / "inference.yml").write_text(yaml.safe_dump({**config, "arch": "Other"}))
    (subject,) = find_subjects([str(copy)])
    with pytest.raises(InvalidInputError, match="nor one of arch 'Other'"):
        subject.paddlex_folder(tmp_path)


def test_arithmetic_is_of_the_export() -> None:
    (demo,) = find_subjects(["demo"])
    assert demo.arithmetic is not None
    parameters, gflop, unknown = demo.arithmetic
    assert 1.6e6 < parameters < 1.7e6
    assert 1 < gflop < 3
    assert unknown == 0
    assert demo.model_bytes > 4 * parameters


def test_pictures_are_brought_to_a_size(photos: Path, tmp_path: Path) -> None:
    pictures = load_images([str(photos)])
    assert [picture.image_hw for picture in pictures] == [(96, 128), (80, 100)]
    small = resized(pictures, (40, 60), tmp_path)
    assert [picture.image_hw for picture in small] == [(40, 60)] * 2
    assert len({picture.digest for picture in (*pictures, *small)}) == 4
    assert load_images([str(photos)], most=1) == pictures[:1]
