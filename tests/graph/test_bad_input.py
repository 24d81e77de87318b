# SPDX-License-Identifier: Apache-2.0
"""Edited programs and caches that fail: an error that says what, or a clean fallback."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpip.common.cache import Cache
from hpip.errors import HpipError
from hpip.graph.compile import CompiledModel, compile_model
from hpip.types import ModelFiles

from .heads import coefficient_masks, image_masks, matrix_nms_masks, region_masks
from .two_stage import two_stage

ROOT = Path(__file__).resolve().parents[2]
HEADS = [image_masks, region_masks, coefficient_masks, matrix_nms_masks, two_stage]
WRONG = [None, -1, 0, 10**9, 1.5, "", "pd_op.none", [], {}, True]

Json = dict[str, Any]


@pytest.fixture(scope="module", params=HEADS, ids=lambda head: head.__name__)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    export: Callable[[Path], Path] = request.param
    return export(tmp_path_factory.mktemp("export"))


def objects(node: Any) -> list[Any]:
    """All containers of a JSON document that hold something, outside in."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    found = [node] if children else []
    return found + [inner for child in children for inner in objects(child)]


def edit(document: Json, rng: random.Random) -> None:
    """One change that a hand or a bad tool may make."""
    place = rng.choice(objects(document["program"]))
    key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
    action = rng.choice(["remove", "replace", "repeat"])
    if action == "replace":
        place[key] = rng.choice(WRONG)
    elif action == "repeat" and isinstance(place, list):
        place.insert(key, place[key])
    else:
        del place[key]


def compile_document(folder: Path, document: Json, exported: Path) -> CompiledModel:
    program = folder / "inference.json"
    program.write_text(json.dumps(document))
    files = ModelFiles(program, exported / "inference.pdiparams")
    return compile_model(files, cache=Cache(folder / "cache"))


def test_an_edited_program_never_stops_with_anything_else(exported: Path, tmp_path: Path) -> None:
    """It is truncated (and validated before its first use), used unchanged, or refused."""
    text = (exported / "inference.json").read_text()
    outcomes = set()
    for seed in range(60):
        document = json.loads(text)
        edit(document, random.Random(seed))
        try:
            compiled = compile_document(tmp_path, document, exported)
            outcomes.add("truncated" if compiled.plan else "original")
            assert compiled.reason
        except HpipError:
            outcomes.add("refused")
    assert len(outcomes) > 1


def run_child(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


COMPILE = """
import sys
from pathlib import Path
from hpip.common.cache import Cache
from hpip.graph.compile import compile_model
from hpip.types import ModelFiles
folder = Path(sys.argv[1])
files = ModelFiles(folder / "inference.json", folder / "inference.pdiparams")
compiled = compile_model(files, cache=Cache(Path(sys.argv[2])))
print(compiled.key, len(compiled.plan), compiled.mendable, compiled.reason)
"""


def test_processes_that_start_at_once_share_one_entry(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    coefficient_masks(folder)
    cache = tmp_path / "cache"
    children = [run_child(COMPILE, str(folder), str(cache)) for _ in range(4)]
    answers = {child.communicate()[0].strip() for child in children}
    assert len(answers) == 1
    assert int(answers.pop().split()[1]) > 0
    assert [path.name for path in (cache / "graph").iterdir()] == [Cache(cache).entries()[0].key]


def test_a_disk_that_is_full_leaves_the_export(tmp_path: Path) -> None:
    """No file may grow beyond a kilobyte, neither in the cache nor among the temporary files."""
    folder = tmp_path / "model"
    folder.mkdir()
    coefficient_masks(folder)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    child = run_child(limit + COMPILE, str(folder), str(tmp_path / "cache"))
    answer, errors = child.communicate()
    assert child.returncode == 0, errors
    assert " True the truncated graph can't be written to the cache" in answer
    assert "HPIP_CACHE_DIR" in answer
    assert Cache(tmp_path / "cache").entries() == []


def test_a_verdict_is_forgotten_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setattr("tempfile.tempdir", str(blocked))
    cache = Cache(blocked)
    cache.store("0" * 32, {"title": "a verdict"}, {})
    assert cache.load("0" * 32) is None
    with pytest.raises(OSError, match="file"):
        cache.store("1" * 32, {"title": "a program"}, {"x.json": b"{}"})
