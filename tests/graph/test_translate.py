# SPDX-License-Identifier: Apache-2.0
"""Models in the format of Paddle 2 are translated once, by Paddle, and truncated like others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import hpip
from hpip.common.cache import Cache
from hpip.errors import ModelFormatError
from hpip.graph import translate as translating
from hpip.graph.compile import compile_model
from hpip.graph.params import ParameterFile
from hpip.graph.program import Program
from hpip.graph.translate import translate
from hpip.inference.tuning.images import scene
from hpip.results.comparison import compare
from hpip.types import ModelFiles
from tests.inference.tuning.test_choose import PLAIN, SETTINGS

from .heads import feeds
from .programs import paddle_module, run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def old_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with `inference.pdmodel`; the format is chosen when Paddle is imported."""
    paddle_module()
    folder = tmp_path_factory.mktemp("old")
    subprocess.run(
        [sys.executable, "-m", "tests.graph.export_old_format", "image_masks", str(folder)],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "FLAGS_enable_pir_api": "0"},
    )
    (folder / "inference.yml").write_text(yaml.safe_dump(SETTINGS))
    assert (folder / "inference.pdmodel").is_file()
    return folder


def files_of(folder: Path) -> ModelFiles:
    return ModelFiles(folder / "inference.pdmodel", folder / "inference.pdiparams")


def test_the_translated_program_gives_the_same_numbers(old_model: Path, tmp_path: Path) -> None:
    files = translate(files_of(old_model), Cache(tmp_path))
    program = Program.read(files.program)
    assert set(program.inputs) == {"im_shape", "image", "scale_factor"}
    assert set(ParameterFile(files.params, program)) == set(program.parameters)
    inputs = feeds()
    wanted = run(old_model / "inference.pdmodel", files.params, inputs)
    found = run(files.program, files.params, inputs)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_it_is_translated_once(
    old_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = translate(files_of(old_model), Cache(tmp_path))
    monkeypatch.setattr(translating.subprocess, "run", None)
    assert translate(files_of(old_model), Cache(tmp_path)) == first


def test_it_is_truncated_and_returns_the_results_of_the_original_graph(
    old_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPIP_CACHE_DIR", str(tmp_path))
    images = [scene(60, 80, 1), scene(97, 33, 2)]
    with (
        hpip.create_predictor(
            model_dir=old_model, device="cpu", use_hpip=True, hpi_config=PLAIN
        ) as truncated,
        hpip.create_predictor(model_dir=old_model, device="cpu", use_hpip=False) as original,
    ):
        assert "truncated graph" in truncated.explain()
        found = list(truncated.predict(images, threshold=0.3))
        wanted = list(original.predict(images, threshold=0.3))
    assert sum(len(result.scores) for result in wanted) > 0
    for ours, theirs in zip(found, wanted, strict=True):
        comparison = compare(theirs, ours, 0.3)
        assert comparison.same, comparison.violations()


@pytest.mark.parametrize("damage", [b"", b"no program at all", None], ids=["empty", "text", "cut"])
def test_a_damaged_file_is_run_as_it_is(
    old_model: Path, tmp_path: Path, damage: bytes | None
) -> None:
    """Paddle ends the process on some of these; the reason comes out, and the engine decides."""
    program = tmp_path / "inference.pdmodel"
    whole = (old_model / "inference.pdmodel").read_bytes()
    program.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    files = ModelFiles(program, old_model / "inference.pdiparams")
    compiled = compile_model(files, cache=Cache(tmp_path / "cache"))
    assert compiled.plan == ()
    assert "translate" in compiled.reason
    assert compiled.mendable
    with pytest.raises(ModelFormatError, match="cannot read"):
        translate(ModelFiles(tmp_path / "missing.pdmodel", files.params), Cache(tmp_path / "cache"))
