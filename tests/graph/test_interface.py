# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import gzip
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpip.errors import ModelFormatError
from hpip.graph.interface import read_interface

EXPORTER = Path(__file__).parent / "export_toy_programs.py"
FORMATS = {"inference.json": "1", "inference.pdmodel": "0"}


NAMES = ("batch", "first", "mixing", "stored")


@pytest.fixture(scope="module", params=FORMATS)
def toy_programs(request, tmp_path_factory) -> dict[str, Path]:
    """Programs that Paddle itself wrote, by name, once in each format."""
    if importlib.util.find_spec("paddle") is None:
        pytest.skip("Paddle is not installed")
    folder = tmp_path_factory.mktemp("toys")
    subprocess.run(
        [sys.executable, str(EXPORTER), str(folder)],
        env={**os.environ, "FLAGS_enable_pir_api": FORMATS[request.param]},
        check=True,
        capture_output=True,
    )
    return {name: folder / name / request.param for name in NAMES}


def test_inputs_and_outputs_of_a_program_that_paddle_wrote(toy_programs):
    interface = read_interface(toy_programs["batch"])

    assert [(item.index, item.name, item.dtype, item.dims) for item in interface.inputs] == [
        (0, "im_shape", "float32", (-1, 2)),
        (1, "image", "float32", (-1, 3, 32, 48)),
        (2, "scale_factor", "float32", (-1, 2)),
    ]
    assert [(item.index, item.dtype, item.dims) for item in interface.outputs] == [
        (0, "float32", (-1, 6)),
        (1, "int32", (-1,)),
        (2, "int32", (-1, 32, 48)),
    ]
    assert len({item.name for item in interface.outputs}) == 3


def test_a_program_that_reads_row_zero_of_a_batch_is_recognised(toy_programs):
    assert not read_interface(toy_programs["batch"]).reads_first_image_only
    assert read_interface(toy_programs["first"]).reads_first_image_only


def test_a_program_that_uses_batch_statistics_is_recognised(toy_programs):
    found = {name: read_interface(toy_programs[name]).uses_batch_statistics for name in NAMES}
    assert found == {"batch": False, "first": False, "mixing": True, "stored": False}


def test_the_names_are_the_ones_that_the_engine_uses(toy_programs):
    # In a child: an engine's threads and signal handlers do not belong into the test process.
    program = toy_programs["batch"]
    script = (
        "import sys, paddle.inference as engine\n"
        "config = engine.Config(*sys.argv[1:])\n"
        "config.disable_glog_info()\n"
        "predictor = engine.create_predictor(config)\n"
        "print('NAMES', *predictor.get_input_names(), *predictor.get_output_names())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(program), str(program.with_suffix(".pdiparams"))],
        check=True,
        capture_output=True,
        text=True,
    )
    names = next(line for line in done.stdout.splitlines() if line.startswith("NAMES")).split()[1:]

    interface = read_interface(program)

    assert sorted(names[:3]) == sorted(item.name for item in interface.inputs)
    assert names[3:] == [item.name for item in interface.outputs]


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_program_is_an_error_that_names_the_file(toy_programs, tmp_path, kept):
    whole = toy_programs["batch"].read_bytes()
    cut = tmp_path / toy_programs["batch"].name
    cut.write_bytes(whole[: int(len(whole) * kept)])

    with pytest.raises(ModelFormatError, match="Copy or export the model again") as failure:
        read_interface(cut)
    assert str(cut) in str(failure.value)


def test_flipped_bytes_never_raise_anything_else(toy_programs, tmp_path):
    whole = toy_programs["batch"].read_bytes()
    broken = tmp_path / toy_programs["batch"].name
    for position in range(0, len(whole), 41):
        data = bytearray(whole)
        data[position] ^= 0xFF
        broken.write_bytes(data)

        with contextlib.suppress(ModelFormatError):
            read_interface(broken)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"base_code": {"magic": "onnx", "version": 1}, "program": {"regions": []}},
        {"base_code": {"magic": "pir", "version": 1}, "program": {"regions": []}},
    ],
    ids=["list", "empty", "other magic", "no block"],
)
def test_json_that_is_no_program(tmp_path, document):
    path = tmp_path / "inference.json"
    path.write_text(json.dumps(document))

    with pytest.raises(ModelFormatError, match="not an exported Paddle program"):
        read_interface(path)


def test_a_program_without_outputs(tmp_path):
    path = tmp_path / "inference.json"
    program = {"regions": [{"blocks": [{"ops": []}]}]}
    path.write_text(json.dumps({"base_code": {"magic": "pir", "version": 1}, "program": program}))

    with pytest.raises(ModelFormatError, match="received 0 and 0"):
        read_interface(path)


def test_a_missing_file_and_an_unknown_suffix(tmp_path):
    with pytest.raises(ModelFormatError, match="cannot read the program"):
        read_interface(tmp_path / "inference.json")
    other = tmp_path / "inference.onnx"
    other.write_bytes(b"")
    with pytest.raises(ModelFormatError, match=r"expected \.json or \.pdmodel"):
        read_interface(other)


COMPARISONS = {"greater_than", "greater_equal"}


def test_every_official_mask_is_a_comparison_cast_to_its_type(zoo_source_dir):
    """hpip.model.spec.MASK_FOREGROUND_ABOVE rests on this."""
    for packed in sorted(zoo_source_dir.glob("*/inference.json.gz")):
        program = json.loads(gzip.decompress(packed.read_bytes()))["program"]
        makers: dict[int, dict] = {}
        index_makers(program["regions"][0]["blocks"][0], makers)
        fetches = [op for op in makers.values() if op["#"] == "1.fetch"]
        masks = fetches[-1]["I"][0]["%"]

        assert mask_source(masks, makers) in COMPARISONS, packed.parent.name


def index_makers(block: dict, makers: dict[int, dict]) -> None:
    for op in block["ops"]:
        if op["#"] == "p":
            continue
        for result in op["O"]:
            makers[result["%"]] = op
        for region in op.get("regions", ()):
            for inner in region["blocks"]:
                index_makers(inner, makers)


def mask_source(value: int, makers: dict[int, dict]) -> str:
    """Follow casts, branches, loops and in-place writes back to what computes the values."""
    op = makers[value]
    kind = op["#"].rpartition(".")[2]
    if kind in ("cast", "flatten"):
        return mask_source(op["I"][0]["%"], makers)
    if kind == "set_value_with_tensor_":
        return mask_source(op["I"][1]["%"], makers)
    if kind in ("if", "while"):
        place = [result["%"] for result in op["O"]].index(value)
        last = op["regions"][0]["blocks"][0]["ops"][-1]
        yielded = [operand["%"] for operand in last["I"]]
        # A loop yields its condition first.
        return mask_source(yielded[place + (kind == "while")], makers)
    return kind
