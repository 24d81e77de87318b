# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hpip.common.cache import Cache
from hpip.errors import GraphRewriteError, ModelFormatError
from hpip.graph import compile as compiling
from hpip.graph.compile import compile_model
from hpip.graph.parts import DensePart
from hpip.graph.passes.base import Pass, PassResult
from hpip.graph.program import Program
from hpip.graph.split import split
from hpip.types import MaskSource, ModelFiles

from .heads import coefficient_masks, image_masks
from .programs import two_branch_net
from .two_stage import two_stage


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coefficient_masks(tmp_path_factory.mktemp("export"))


def files_of(folder: Path) -> ModelFiles:
    return ModelFiles(folder / "inference.json", folder / "inference.pdiparams")


def test_the_second_time_comes_from_the_cache(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path)
    first = compile_model(files_of(exported), cache=cache)
    assert first.masks is not None
    (segment,) = first.segments
    assert "score_threshold" in segment.inputs
    assert segment.files.params == exported / "inference.pdiparams"
    assert segment.files.program.parent.parent == tmp_path / "graph"
    monkeypatch.setattr(compiling, "Sequential", None)
    assert compile_model(files_of(exported), cache=cache) == first
    assert sorted(path.name for path in exported.iterdir()) == [
        "inference.json",
        "inference.pdiparams",
    ]


def test_another_program_or_pass_version_gets_an_entry_of_its_own(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache")
    keys = {compile_model(files_of(exported), cache=cache).key}
    other = image_masks(tmp_path)
    keys.add(compile_model(files_of(other), cache=cache).key)
    monkeypatch.setattr(compiling.PASSES[0].__class__, "version", 99)
    keys.add(compile_model(files_of(exported), cache=cache).key)
    assert len(keys) == 3
    assert len(cache.entries()) == 3


def test_a_damaged_entry_is_rewritten(exported: Path, tmp_path: Path) -> None:
    first = compile_model(files_of(exported), cache=Cache(tmp_path))
    program = first.segments[0].files.program
    content = program.read_bytes()
    program.write_bytes(content[:100])
    again = compile_model(files_of(exported), cache=Cache(tmp_path))
    assert again == first
    assert program.read_bytes() == content


def test_a_model_of_no_family_keeps_its_original_graph(tmp_path: Path) -> None:
    folder = two_branch_net(tmp_path)
    for _ in range(2):
        compiled = compile_model(files_of(folder), cache=Cache(tmp_path / "cache"))
        assert compiled.masks is None
        assert not compiled.mendable
        assert compiled.plan == ()
        assert "CutImageMasksPass" in compiled.reason


def test_an_unknown_version_keeps_its_original_graph(exported: Path, tmp_path: Path) -> None:
    document = json.loads((exported / "inference.json").read_text())
    document["base_code"]["version"] = 1000
    program = tmp_path / "inference.json"
    program.write_text(json.dumps(document))
    files = ModelFiles(program, exported / "inference.pdiparams")
    compiled = compile_model(files, cache=Cache(tmp_path))
    assert compiled.plan == ()
    assert "format 1000" in compiled.reason


def test_parameters_of_another_model_are_an_error(exported: Path, tmp_path: Path) -> None:
    params = tmp_path / "inference.pdiparams"
    params.write_bytes((exported / "inference.pdiparams").read_bytes()[:-4])
    files = ModelFiles(exported / "inference.json", params)
    with pytest.raises(ModelFormatError, match="ends before"):
        compile_model(files, cache=Cache(tmp_path / "cache"))


def test_after_a_failing_pass_the_original_graph_is_used(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FailingPass(Pass):
        def _apply(self, program: Program) -> PassResult:
            raise GraphRewriteError(self.name, "it broke")

    monkeypatch.setattr(compiling, "PASSES", (FailingPass(),))
    compiled = compile_model(files_of(exported), cache=Cache(tmp_path))
    assert compiled.plan == ()
    assert "it broke" in compiled.reason


@pytest.mark.parametrize("cascade", [False, True])
def test_only_a_split_two_stage_model_takes_batches(tmp_path: Path, cascade: bool) -> None:
    """The loop of a program in one part fails if images have different numbers of boxes."""
    program = Program.read(two_stage(tmp_path, cascade=cascade) / "inference.json")
    masks = MaskSource("region", "network", 0.5, inclusive=True)
    whole, parts = (DensePart("whole", program),), split(program.copy())
    assert not compiling._takes_batches(whole, masks)
    assert compiling._takes_batches(parts, masks)
    # Without boxes, no output assigns the instances to the images.
    assert not compiling._takes_batches(parts, replace(masks, boxes_frame="none"))
