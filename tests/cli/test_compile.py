# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from hpip.cli.app import app
from hpip.graph.inspect import (
    Work,
    most_rows,
    operator_counts,
    parameter_count,
    returned_bytes,
    work,
)
from hpip.graph.program import Program
from hpip.graph.sizes import infer_sizes
from tests.graph.heads import coefficient_masks, image_masks
from tests.graph.programs import paddle_module, run, save_layer
from tests.graph.two_stage import MOST_PROPOSALS, two_stage
from tests.inference.tuning.test_choose import SETTINGS

RUNNER = CliRunner()
SVG = "{http://www.w3.org/2000/svg}"

pytestmark = pytest.mark.usefixtures("fresh_cache")


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = coefficient_masks(tmp_path_factory.mktemp("model"))
    (folder / "inference.yml").write_text(yaml.safe_dump(SETTINGS))
    return folder


def call(*arguments: str) -> str:
    result = RUNNER.invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_compile_says_what_each_pass_did(model_dir: Path) -> None:
    text = call("compile", str(model_dir), "--no-verify")
    assert "applied:    CutCoefficientMasksPass" in text
    assert "skipped:    CutImageMasksPass" in text
    assert "cache/graph" in text
    assert "truncated graph" in call("cache", "list")
    assert "freed" in call("cache", "clear")
    assert "0 entries" in call("cache", "list")


def test_inspect_shows_the_model_and_what_is_saved(model_dir: Path) -> None:
    text = call("inspect", str(model_dir))
    assert "model:      Little" in text
    assert "score_threshold" not in text.split("operators:")[0]
    assert "1 multiclass_nms3" in text or "multiply-adds" in text
    line = next(line for line in text.splitlines() if "4K" in line)
    before, after = (float(word) for word in line.replace("->", "").replace("MB", "").split()[1:])
    assert before > 600
    assert after < 0.1


def test_inspect_of_a_model_of_no_family_says_why(tmp_path: Path) -> None:
    folder = image_masks(tmp_path, probability=0.3)
    (folder / "inference.yml").write_text(yaml.safe_dump(SETTINGS))
    assert "truncated:  no: no pass matched" in call("inspect", str(folder))


def test_arithmetic_is_counted_per_image(tmp_path: Path) -> None:
    program = Program.read(image_masks(tmp_path) / "inference.json")
    assert work(program, (32, 32)).macs == 5 * 8 * 8 * 3 * 4 * 4
    assert parameter_count(program) == 5 * 3 * 4 * 4 + 5
    assert operator_counts(program)["conv2d"] == 1
    assert most_rows(program) == 100


def test_masks_at_the_images_size_dominate_what_is_returned(model_dir: Path) -> None:
    program = Program.read(model_dir / "inference.json")
    assert most_rows(program) == 20
    masks = 20 * 1000 * 500 * 4
    assert masks <= returned_bytes(program, (1000, 500)) <= masks + 1000


def test_the_end_of_the_program_is_drawn_with_its_cut(model_dir: Path, tmp_path: Path) -> None:
    picture = tmp_path / "cut.svg"
    assert "drawing:" in call("inspect", str(model_dir), "--svg", str(picture))
    root = ElementTree.fromstring(picture.read_text())
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert "boxes, counts" in texts
    assert "multiclass_nms3" in texts
    assert [text for text in texts if text is not None and text.startswith("output")]
    kinds = {element.get("class") for element in root.iter(f"{SVG}g")}
    assert kinds == {"kept", "gone", "input", "output"}
    assert [path for path in root.iter(f"{SVG}path") if path.get("class") == "cut"]
    width, height = (float(root.get(name, "0")) for name in ("width", "height"))
    for box in [*root.iter(f"{SVG}rect")][1:]:
        x, y, w, h = (float(box.get(name, "-1")) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height


def test_a_two_stage_model_is_counted_with_all_its_regions(tmp_path: Path) -> None:
    program = Program.read(two_stage(tmp_path) / "inference.json")
    trunk = 4 * 16 * 16 * 3 * 9 + 4 * 8 * 8 * 4 * 9
    rpn = (16 * 16 + 8 * 8) * (2 + 8) * 4
    boxes = MOST_PROPOSALS * 36 * (4 + 4)
    masks = 20 * 3 * 6 * 6 * 4 * 9
    assert work(program, (32, 32)) == Work(trunk + rpn + boxes + masks, 0)


def test_maps_follow_the_size_of_the_image(tmp_path: Path) -> None:
    paddle = paddle_module()
    nn = paddle.nn
    layers = [
        nn.Conv2D(3, 4, 3, stride=2, padding=1),
        nn.MaxPool2D(2, 2, ceil_mode=True),
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2D(4, 2, 3, dilation=2),
        nn.Flatten(2),
    ]
    folder = save_layer(tmp_path, nn.Sequential(*layers), input=([None, 3, None, None], "float32"))
    program = Program.read(folder / "inference.json")
    sizes = infer_sizes(program, (37, 50))
    array = np.zeros((1, 3, 37, 50), np.float32)
    wanted = run(folder / "inference.json", folder / "inference.pdiparams", {"input": array})
    assert sizes[program.outputs[0].inputs[0]] == wanted[0].shape
