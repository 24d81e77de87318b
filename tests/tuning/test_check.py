# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hpip.graph.cache import Cache
from hpip.graph.compile import compile_model
from hpip.graph.program import Program
from hpip.model import ModelSpec, load_model_spec
from hpip.tuning import check
from hpip.tuning.budget import Clock, Limits
from hpip.tuning.check import Check, cut_and_checked
from tests.graph.heads import coefficient_masks
from tests.graph.test_choice import SETTINGS


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    folder = coefficient_masks(tmp_path)
    (folder / "inference.yml").write_text(yaml.safe_dump(SETTINGS))
    return load_model_spec(folder)


def test_a_program_that_rounds_otherwise_makes_way_for_an_exact_one(
    spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpip.graph import compile as compiling
    from hpip.graph.passes.base import Pass, PassResult

    class RoundingPass(Pass):
        def _apply(self, program: Program) -> PassResult:
            return PassResult(program, modified=True, reason="rounds otherwise")

    monkeypatch.setattr(compiling, "PASSES", (*compiling.EXACT_PASSES, RoundingPass()))
    asked = []

    def judged(spec, compiled, threads, clock, *, exact=False) -> Check:
        asked.append(exact)
        return Check(exact, "exact" if exact else "least mask IoU: 0.98")

    monkeypatch.setattr(check, "check", judged)
    given = {"threads": 1, "cache": Cache(tmp_path / "cache"), "clock": Clock(Limits(60))}
    compiled, found = cut_and_checked(spec, **given)
    assert (found.same, found.exact, asked) == (True, True, [False, True])
    assert "rounds otherwise" not in compiled.reason
    assert cut_and_checked(spec, **given) == (compiled, found)
    assert len(asked) == 2


def test_exact_programs_are_kept_apart(spec: ModelSpec, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    plain, exact = (compile_model(spec.files, cache=cache, exact=e) for e in (False, True))
    assert plain.key != exact.key
    names = {report.name for report in plain.passes} - {report.name for report in exact.passes}
    assert names == {"NormalizeEachImagePass", "ConvolveInStripsPass, trunk"}


def test_two_stage_programs_are_checked_with_fewer_regions(zoo_model, tmp_path: Path) -> None:
    files = load_model_spec(zoo_model("MaskRCNN-ResNet50")).files
    target = check._with_fewer_regions(files, tmp_path / "inference.json")
    assert target is not None
    found = {}
    for op in Program.read(target).walk():
        for name in ("post_nms_top_n", "keep_top_k"):
            if op.has_attribute(name):
                found[name] = op.attribute(name)
    assert found == {"post_nms_top_n": 100, "keep_top_k": 20}


def test_one_stage_programs_are_checked_as_they_are(spec: ModelSpec, tmp_path: Path) -> None:
    assert check._with_fewer_regions(spec.files, tmp_path / "inference.json") is None
