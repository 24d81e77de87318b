# SPDX-License-Identifier: Apache-2.0
"""Model directories that are damaged or hostile end in one of our errors, soon and in few words."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpip
from hpip.errors import HpipError, InvalidInputError, ModelFormatError, shorten
from hpip.graph.operation import TensorType
from hpip.graph.params import check_parameters, write_parameters
from hpip.inference.pipeline_file import load_pipeline_config
from hpip.model.official import find_model
from hpip.model.spec import load_model_spec

DEMO = find_model("demo", None)
LONGEST_MESSAGE = 1500
BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)


def settings() -> str:
    return (DEMO / "inference.yml").read_text()


def with_labels(labels: str) -> str:
    return re.sub(r"label_list:\n(?:\s*- .*\n?)+", f"label_list: {labels}\n", settings())


def with_target(target: str) -> str:
    return re.sub(r"target_size:\n(\s*- \d+\n)+", f"target_size: {target}\n", settings())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the demo model."""
    copy = tmp_path / "model"
    copy.mkdir()
    for name in ("inference.yml", "inference.json", "inference.pdiparams"):
        shutil.copy(DEMO / name, copy)
    return copy


def refusal(folder: Path) -> str:
    with pytest.raises(ModelFormatError) as raised:
        load_model_spec(folder).check_parameters()
    message = str(raised.value)
    assert len(message) < LONGEST_MESSAGE
    assert str(folder) in message
    return message


@pytest.mark.parametrize(
    "text",
    [
        BOMB + with_labels("[*a8]"),
        BOMB + with_labels("*a8"),
        BOMB + settings().replace("draw_threshold: ", "draw_threshold: *a8 #"),
        BOMB + with_target("*a8"),
        with_labels("!!python/object/apply:os.system ['true']"),
        "x: " + "[" * 100_000,
        "x: " + "{a: " * 3000,
        "".join(" " * i + "a:\n" for i in range(3000)),
        with_labels("[2001-99-99]"),
        with_labels(f"[{'9' * 5000}]"),
        with_labels(f"[0x{'f' * 10_000}]"),
        with_labels("[!!timestamp x]"),
        with_labels("[!!float x]"),
        with_labels("[!!binary x]"),
        with_labels("[!!int '']"),
        with_labels("&x [*x]"),
        settings() + "\n<<: 3\n",
        settings() + "\n? [a]\n: b\n",
        settings() + "\n? {a: b}\n: b\n",
        "\0\0",
        "a: 1\n---\nb: 2\n",
        with_labels("[" + "a," * 3_000_000 + "]"),
        with_target("[2000000000, 2000000000]"),
        with_target("[1" + "0" * 30 + ", 5]"),
        with_target("[16384, 16384]"),
        re.sub(r"mean:\n(\s*- [\d.]+\n)+", f"mean: 1{'0' * 400}\n", settings()),
    ],
    ids=range(26),
)
def test_settings(folder: Path, text: str) -> None:
    (folder / "inference.yml").write_text(text)
    refusal(folder)


@pytest.mark.parametrize(
    "text",
    [
        BOMB + "pipeline_name: *a8\n",
        BOMB + "SubModules: *a8\n",
        BOMB + "SubModules: {InstanceSegmentation: {model_dir: *a8}}\n",
        BOMB + "x: *a8\n",
        "x: " + "[" * 100_000,
        "x: 2001-99-99",
        f"x: {'9' * 5000}",
        "? [a]\n: b\n",
        "x" * 5_000_000,
    ],
    ids=range(9),
)
def test_pipeline_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match="pipeline") as raised:
        load_pipeline_config(path)
    assert len(str(raised.value)) < LONGEST_MESSAGE


def test_unmatched_shapes_of_a_network_that_is_fixed(folder: Path) -> None:
    program = json.loads((folder / "inference.json").read_text())
    for op in program["program"]["regions"][0]["blocks"][0]["ops"]:
        if op["#"].endswith("data") and len(op["O"][0]["TT"]["D"][1]) == 4:
            op["O"][0]["TT"]["D"][1] = [1, 3, 2**63, 2**63]
    (folder / "inference.json").write_text(json.dumps(program))
    refusal(folder)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 100_000,
        f'{{"x": {"9" * 5000}}}',
        '{"base_code": {"magic": "' + "m" * 100_000 + '"}}',
        "[NaN]",
        "null",
        "\0",
        '{"base_code": {"magic": "pir"}, "program": {"regions": [{"blocks": [{"ops": 5}]}]}}',
    ],
    ids=range(8),
)
def test_programs(folder: Path, text: str) -> None:
    (folder / "inference.json").write_text(text)
    refusal(folder)


def test_regions_inside_regions(folder: Path) -> None:
    inner = '{"#": "1.if", "I": [], "O": [], "A": [], "regions": [{"blocks": [{"ops": ['
    text = (folder / "inference.json").read_text()
    deep = inner * 3000 + "]}]}]}" * 3000
    (folder / "inference.json").write_text(text.replace('"ops":[', f'"ops":[{deep},', 1))
    refusal(folder)


@pytest.mark.parametrize("name", ["inference.yml", "inference.json", "inference.pdiparams"])
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file(folder: Path, name: str, kind: str) -> None:
    (folder / name).unlink()
    if kind == "folder":
        (folder / name).mkdir()
    else:
        os.mkfifo(folder / name)
    refusal(folder)


@pytest.mark.parametrize("cut", [1, 100, 2000, 8000])
@pytest.mark.parametrize("use_hpip", [True, False])
def test_parameters_that_are_cut_after_their_first_use(
    folder: Path, cut: int, use_hpip: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program was in the cache already, so nobody looked at the parameters again."""
    monkeypatch.setenv("HPIP_TUNE_BUDGET_S", "0")
    hpip.create_predictor(model_dir=folder, device="cpu", use_hpip=use_hpip).close()
    params = folder / "inference.pdiparams"
    params.write_bytes(params.read_bytes()[:-cut])
    with pytest.raises(ModelFormatError, match="pdiparams"):
        hpip.create_predictor(model_dir=folder, device="cpu", use_hpip=use_hpip)


def damaged(data: bytes, kind: str) -> bytes:
    return {
        "longer": data + b"\0",
        "another tensor": data + data[:100],
        "header": b"\0\0\0\1" + data[4:],
        "levels": data[:4] + b"\xff" * 8 + data[12:],
        "length": data[:16] + b"\xff\xff\xff\x7f" + data[20:],
        "negative length": data[:16] + b"\xff\xff\xff\xff" + data[20:],
        "type": data[:21] + b"\x06" + data[22:],
        "dimension": data[:22] + b"\x10" + b"\xff" * 8 + b"\x7f" + data[32:],
        "garbage": b"\xa5" * 200 + data[200:],
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        *("longer", "another tensor", "header", "levels", "length", "negative length", "type"),
        *("dimension", "garbage"),
    ],
)
def test_parameters(folder: Path, kind: str) -> None:
    params = folder / "inference.pdiparams"
    params.write_bytes(damaged(params.read_bytes(), kind))
    assert "pdiparams" in refusal(folder)


def test_a_file_with_one_tensor_less(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.int64)}
    path = tmp_path / "inference.pdiparams"
    write_parameters(path, arrays)
    both = [TensorType("i64", (4,)), TensorType("f32", (2, 3))]
    check_parameters(path, both)
    check_parameters(path, None)
    with pytest.raises(ModelFormatError, match=r"expected 1 tensors, received 2.*i64\[4\]"):
        check_parameters(path, both[1:])
    with pytest.raises(ModelFormatError, match=r"expected 3 tensors, received 2.*f32\[9\]"):
        check_parameters(path, [*both, TensorType("f32", (9,))])


def test_values_are_shown_shortly() -> None:
    nest: list[Any] = ["x"] * 10
    for _ in range(9):
        nest = [nest] * 10
    huge = 16**10_000
    for value in (nest, {"a": nest}, "x" * 10**6, huge, [huge], b"x" * 10**6, {huge: 1}):
        assert 0 < len(shorten(value)) <= 203
    for value in ("text", 5, [1, "a"], None, {"a": 1}, 0.5):
        assert shorten(value) == repr(value)
    assert issubclass(ModelFormatError, HpipError)
