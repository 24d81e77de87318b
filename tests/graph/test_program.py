# SPDX-License-Identifier: Apache-2.0
"""Programs are read without loss, searched, edited, and refused when they are damaged."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpip.errors import ModelFormatError
from hpip.graph.liveness import remove_dead_code
from hpip.graph.operation import PARAMETER
from hpip.graph.program import Program

from .programs import run, save_static, two_branch_net


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    return two_branch_net(tmp_path)


def test_reads_inputs_outputs_and_parameters(exported: Path) -> None:
    program = Program.read(exported / "inference.json")
    assert list(program.inputs) == ["image"]
    assert len(program.outputs) == 2
    assert len(program.parameters) == 2
    image = program.inputs["image"].outputs[0]
    kind = program.type_of(image)
    assert kind is not None
    assert (kind.dtype, kind.shape) == ("f32", (-1, 3, 8, 8))


def test_indexes_makers_and_readers_across_regions(exported: Path) -> None:
    program = Program.read(exported / "inference.json")
    (branch,) = [op for op in program.walk() if op.name == "pd_op.if"]
    inner = [op for op in branch.walk() if op.name == "pd_op.scale"]
    assert len(inner) == 2
    shared = inner[0].inputs[0]
    assert {id(op) for op in inner} <= {id(op) for op in program.readers(shared)}
    maker = program.maker(shared)
    assert maker is not None
    assert shared in maker.outputs


def test_writing_back_changes_nothing(exported: Path, tmp_path: Path) -> None:
    source = exported / "inference.json"
    program = Program.read(source)
    program.write(tmp_path / "copy.json")
    assert json.loads((tmp_path / "copy.json").read_text()) == json.loads(source.read_text())


def test_keeps_what_it_does_not_know(exported: Path) -> None:
    document = json.loads((exported / "inference.json").read_text())
    operation = document["program"]["regions"][0]["blocks"][0]["ops"][-1]
    operation["XX"] = {"from": "the future"}
    operation["A"].append({"AT": {"#": "9.a_strange", "D": [{"#": "9.x"}]}, "N": "strange"})
    document["program"]["more"] = 1
    before = json.loads(json.dumps(document))
    assert Program(document).to_json() == before


def test_paddle_runs_the_copy_alike(exported: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.json"
    Program.read(exported / "inference.json").write(copy)
    image = np.random.default_rng(0).standard_normal((2, 3, 8, 8), dtype=np.float32)
    parameters = exported / "inference.pdiparams"
    for ours, theirs in zip(
        run(copy, parameters, {"image": image}),
        run(exported / "inference.json", parameters, {"image": image}),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_dead_code_goes_and_the_rest_still_runs(exported: Path, tmp_path: Path) -> None:
    program = Program.read(exported / "inference.json")
    first, second = program.outputs
    program.remove([first])
    second.raw["A"][1]["AT"]["D"] = 0
    assert remove_dead_code(program) > 0
    assert remove_dead_code(program) == 0
    program.check()
    assert not [op for op in program.walk() if op.name == "pd_op.if"]
    assert len([op for op in program.walk() if op.name == PARAMETER]) == 2
    trimmed = tmp_path / "trimmed.json"
    program.write(trimmed)
    image = np.random.default_rng(1).standard_normal((1, 3, 8, 8), dtype=np.float32)
    parameters = exported / "inference.pdiparams"
    (left,) = run(trimmed, parameters, {"image": image})
    both = run(exported / "inference.json", parameters, {"image": image})
    np.testing.assert_array_equal(left, both[1])


def test_dead_code_keeps_in_place_writers_of_what_is_read(tmp_path: Path) -> None:
    def build(paddle):
        x = paddle.static.data("x", [3], "float32")
        items = paddle.tensor.create_array("float32")
        index = paddle.zeros([1], "int64")

        def body(i):
            paddle.tensor.array_write(x * paddle.cast(i, "float32"), i, items)
            return [i + 1]

        paddle.static.nn.while_loop(lambda i: i < 3, body, [index])
        joined, _ = paddle.tensor.manipulation.tensor_array_to_tensor(items, axis=0)
        return [x], [joined]

    folder = save_static(tmp_path, build)
    program = Program.read(folder / "inference.json")
    remove_dead_code(program)
    program.write(tmp_path / "kept.json")
    x = np.array([1, 2, 3], np.float32)
    (joined,) = run(tmp_path / "kept.json", None, {"x": x})
    np.testing.assert_array_equal(joined, np.concatenate([x * 0, x, x * 2]))


def test_check_finds_a_value_without_maker(exported: Path) -> None:
    program = Program.read(exported / "inference.json")
    program.check()
    program.outputs[0].set_input(0, 99999)
    with pytest.raises(ModelFormatError, match="99999"):
        program.check()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"base_code":{"magic":"pir"', "is damaged: expected JSON"),
        ("", "is damaged: expected JSON"),
        ("[]", "magic"),
        ('{"base_code":{"magic":"onnx","version":1}}', "magic"),
        ('{"base_code":{"magic":"pir","version":77},"program":{}}', "format 77"),
        ('{"base_code":{"magic":"pir","version":1},"program":{"regions":[]}}', "main block"),
        (
            '{"base_code":{"magic":"pir","version":1},"program":{"regions":[{"#":"r",'
            '"blocks":[{"#":"b","args":[],"ops":[{"A":[]}]}]}]}}',
            "damaged",
        ),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "inference.json"
    path.write_text(content)
    with pytest.raises(ModelFormatError, match=message):
        Program.read(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="cannot read"):
        Program.read(tmp_path / "nothing.json")


def test_every_truncation_is_refused(exported: Path, tmp_path: Path) -> None:
    text = (exported / "inference.json").read_text()
    path = tmp_path / "cut.json"
    for length in range(0, len(text), 997):
        path.write_text(text[:length])
        with pytest.raises(ModelFormatError):
            Program.read(path)


@pytest.mark.slow
def test_the_zoo_is_read_without_loss(zoo_source_dir: Path) -> None:
    packed = sorted(zoo_source_dir.glob("*/inference.json.gz"))
    assert len(packed) == 15
    for source in packed:
        text = gzip.decompress(source.read_bytes())
        program = Program(json.loads(text))
        program.check()
        # A plain bool: pytest would walk both documents to explain a difference.
        unchanged = program.to_json() == json.loads(text)
        assert unchanged, source.parent.name
        assert {"image", "im_shape", "scale_factor"} == set(program.inputs)


def test_paddle_is_not_imported() -> None:
    script = (
        "import sys, hpip.graph.program, hpip.graph.params, hpip.graph.liveness;"
        "sys.exit(any(name.split('.')[0] == 'paddle' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
