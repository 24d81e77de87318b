# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from hpip.graph.passes.cut_image_masks import CutImageMasksPass
from hpip.graph.program import Program
from tests.graph.heads import coefficient_masks, image_masks
from tests.graph.truncation import assert_same, rewrite


def test_logits_come_out_and_the_oracle_finishes_them(tmp_path: Path) -> None:
    folder = image_masks(tmp_path)
    program, source = rewrite(folder, [CutImageMasksPass()])
    assert [op.attribute("name") for op in program.outputs] == ["boxes", "counts", "masks"]
    assert not [op for op in program.walk() if op.name == "pd_op.bilinear_interp"]
    assert_same(folder, source)


def test_queries_and_prototypes_come_out_where_there_are_any(tmp_path: Path) -> None:
    folder = image_masks(tmp_path, from_queries=True)
    program, source = rewrite(folder, [CutImageMasksPass()])
    names = [op.attribute("name") for op in program.outputs]
    assert names == ["boxes", "counts", "coefficients", "prototypes"]
    assert source.has_prototypes
    assert_same(folder, source)


def test_with_a_product_of_other_shapes_the_graph_is_truncated_after_it(tmp_path: Path) -> None:
    program = Program.read(image_masks(tmp_path, from_queries=True) / "inference.json")
    (product,) = [op for op in program.walk() if op.name == "pd_op.bmm"]
    product.raw["#"] = "1.matmul"
    program = Program(program.to_json())
    result = CutImageMasksPass()(program)
    assert result.modified
    assert [op.attribute("name") for op in program.outputs][2:] == ["masks"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"probability": 0.4}, "not compared with 0.5"),
        ({"pixel_centres": False}, "align_corners"),
    ],
)
def test_other_masks_are_left_unchanged(
    tmp_path: Path, options: dict[str, object], reason: str
) -> None:
    program = Program.read(image_masks(tmp_path, **options) / "inference.json")
    result = CutImageMasksPass()(program)
    assert not result.modified
    assert reason in result.reason


def test_another_family_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(coefficient_masks(tmp_path) / "inference.json")
    assert not CutImageMasksPass()(program).modified


def test_another_size_is_left_unchanged(tmp_path: Path) -> None:
    program = Program.read(image_masks(tmp_path) / "inference.json")
    (floor,) = [op for op in program.walk() if op.name == "pd_op.floor"]
    (bias,) = [op for op in program.walk() if op.outputs == floor.inputs]
    bias.set_attribute("bias", {"#": "0.a_f32", "D": 0.75})
    result = CutImageMasksPass()(program)
    assert not result.modified
    assert "original image" in result.reason
