# SPDX-License-Identifier: Apache-2.0
"""Native steps give the results of Paddle's operators on the feature maps of real models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hpip import ops
from hpip.graph.builder import integer
from hpip.graph.passes.base import Sequential
from hpip.graph.passes.inline_empty_branch import InlineEmptyBranchPass
from hpip.graph.program import Program
from hpip.graph.split import split
from hpip.graph.standard_passes import PASSES
from hpip.inference.execution.native_steps import run_native_step
from hpip.inference.execution.preprocess import network_inputs
from hpip.inference.tuning.truncation_check import small_input
from hpip.model.spec import load_model_spec
from hpip.types import NativeStep
from tests.graph.inner_values import fetch_values
from tests.graph.programs import paddle_module

Array = np.ndarray[Any, Any]

# Name, and the number of proposals if it is not the model's: on C4 features, a thousand regions
# and the box head take gigabytes and minutes.
TWO_STAGE = {
    "MaskRCNN-ResNet50": 100,
    "MaskRCNN-ResNet50-FPN": None,
    "MaskRCNN-ResNet50-vd-FPN": None,
    "MaskRCNN-ResNet101-FPN": None,
    "MaskRCNN-ResNet101-vd-FPN": None,
    "MaskRCNN-ResNeXt101-vd-FPN": None,
    "Cascade-MaskRCNN-ResNet50-FPN": None,
    "Cascade-MaskRCNN-ResNet50-vd-SSLDv2-FPN": None,
}
STEPS = ("generate_proposals", "roi_align", "multiclass_nms")


@dataclass(frozen=True)
class Operators:
    """A native step, and the inputs and outputs of the operators that it replaces."""

    step: NativeStep
    inputs: list[Array]
    outputs: list[Array]


def original_program(model_dir: Path, most_proposals: int | None) -> Program:
    """The exported program; the mask head's `if` is inlined, so that its values can be fetched."""
    program = Program.read(model_dir / "inference.json")
    for op in program.walk():
        if most_proposals is not None and op.has_attribute("post_nms_top_n"):
            op.set_attribute("post_nms_top_n", integer(most_proposals))
    return program


def native_steps(program: Program) -> list[NativeStep]:
    """The compiled model's native steps that replace more than a gather, in order."""
    program = program.copy()
    Sequential(PASSES)(program)
    steps = [part for part in split(program) if isinstance(part, NativeStep)]
    return [step for step in steps if step.kind in STEPS]


def replaced_values(program: Program) -> list[tuple[list[int], list[int]]]:
    """Inputs and outputs of RoIAlign (all levels) and NMS in the main block, in order."""
    found: list[tuple[list[int], list[int]]] = []
    pooled = set()
    for op in program.block.operations:
        if op.name == "pd_op.distribute_fpn_proposals":
            (ordered,) = [r for r in program.readers(op.outputs[2]) if r.name == "pd_op.gather"]
            joined = program.maker(ordered.inputs[0])
            assert joined is not None
            levels = program.maker(joined.inputs[0])
            assert levels is not None
            pooled.update(levels.inputs)
            makers = [program.maker(value) for value in levels.inputs]
            maps = [maker.inputs[0] for maker in makers if maker is not None]
            found.append(([*maps, *op.inputs], [ordered.outputs[0]]))
        elif op.name == "pd_op.roi_align" and op.outputs[0] not in pooled:
            found.append((list(op.inputs), list(op.outputs)))
        elif op.name == "pd_op.multiclass_nms3":
            found.append(([value for value in op.inputs if value], list(op.outputs)))
    # RoIAlign of a pyramid comes after its `distribute_fpn_proposals`, and is in `found` already.
    return [item for item in found if item[1][0] not in pooled]


def value_of(program: Program, name: str) -> int:
    """The value that a native step calls `name`."""
    if name in program.inputs:
        return program.inputs[name].outputs[0]
    return int(name.removeprefix("value_"))


def captured(model_dir: Path, most: int | None, photo: Path, folder: Path) -> list[Operators]:
    program = original_program(model_dir, most)
    steps = native_steps(program)
    InlineEmptyBranchPass()(program)
    replaced = replaced_values(program)
    if steps[0].kind == "generate_proposals":
        # Its operators are in a loop over the images, whose result the first RoIAlign reads.
        inputs = [value_of(program, name) for name in steps[0].inputs]
        replaced.insert(0, (inputs, replaced[0][0][-2:]))
    spec = small_input(load_model_spec(model_dir))
    feeds = network_inputs([cv2.imread(str(photo))], spec.preprocess)
    wanted = [value for pair in replaced for values in pair for value in values]
    arrays = fetch_values(program, wanted, feeds, model_dir / "inference.pdiparams", folder)
    return [
        Operators(step, [arrays[v] for v in inputs], [arrays[v] for v in outputs])
        for step, (inputs, outputs) in zip(steps, replaced, strict=True)
    ]


@pytest.fixture(scope="module", params=TWO_STAGE)
def operators(
    request: pytest.FixtureRequest,
    zoo_model: Callable[[str], Path],
    photos_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Operators]:
    photo = min(photos_dir.glob("*.jpg"))
    folder = tmp_path_factory.mktemp("captured")
    return captured(zoo_model(request.param), TWO_STAGE[request.param], photo, folder)


def of_kind(operators: Sequence[Operators], kind: str) -> list[Operators]:
    return [item for item in operators if item.step.kind == kind]


def assert_exactly(item: Operators) -> None:
    found = run_native_step(item.step, item.inputs, threads=1)
    assert len(item.outputs[0]) > 0
    for mine, theirs in zip(found, item.outputs, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.slow
def test_proposals_and_detections_are_exactly_paddles(operators: list[Operators]) -> None:
    (proposals,) = of_kind(operators, "generate_proposals")
    (nms,) = of_kind(operators, "multiclass_nms")
    assert_exactly(proposals)
    assert_exactly(nms)


@pytest.mark.slow
def test_pooled_regions_are_paddles_within_rounding(operators: list[Operators]) -> None:
    pools = of_kind(operators, "roi_align")
    assert len(pools) in (2, 4)
    for item in pools:
        (found,) = run_native_step(item.step, item.inputs, threads=1)
        (wanted,) = item.outputs
        assert len(wanted) > 0
        limit = 1e-5 * float(wanted.max() - wanted.min())
        np.testing.assert_allclose(found, wanted, rtol=0, atol=limit)


@pytest.mark.slow
def test_levels_of_boxes_are_exactly_paddles(operators: list[Operators]) -> None:
    paddle = paddle_module()
    for item in of_kind(operators, "roi_align"):
        if "min_level" not in item.step.attributes:
            continue
        names = ("min_level", "max_level", "refer_level", "refer_scale", "pixel_offset")
        rules = {name: item.step.attributes[name] for name in names}
        boxes, counts = item.inputs[-2:]
        numbers = paddle.to_tensor(counts.astype(np.int32))
        wanted = paddle.vision.ops.distribute_fpn_proposals(
            paddle.to_tensor(boxes), *rules.values(), numbers
        )
        found = ops.assign_fpn_levels(boxes, counts, **rules)
        np.testing.assert_array_equal(found.restore_index, wanted[1].numpy())
        for mine, theirs in zip(found.boxes_xyxy, wanted[0], strict=True):
            np.testing.assert_array_equal(mine, theirs.numpy())


def rounded(scores: Array, steps: int = 64) -> Array:
    """Scores with many ties."""
    return np.asarray((scores * steps).round() / steps, np.float32)


def paddles_proposals(paddle: Any, item: Operators) -> tuple[Array, Array]:
    """Boxes and their number as the loop of an exported model computes them for one image."""
    rules, count = item.step.attributes, item.step.attributes["levels"]
    names = ("pre_nms_top_n", "post_nms_top_n", "nms_threshold", "min_size", "eta", "pixel_offset")
    *maps, im_shape = [paddle.to_tensor(array) for array in item.inputs]
    levels = [
        paddle._C_ops.generate_proposals(
            maps[i],
            maps[count + i],
            im_shape,
            maps[2 * count + i],
            paddle.ones_like(maps[2 * count + i]),
            *(rules[name] for name in names),
        )
        for i in range(count)
    ]
    boxes = paddle.concat([level[0] for level in levels])
    scores = paddle.concat([level[1] for level in levels]).flatten()
    if rules["top_n"] and scores.shape[0] > rules["top_n"]:
        _, best = paddle.topk(scores, rules["top_n"])
        boxes = paddle.gather(boxes, best)
    return boxes.numpy(), np.array([boxes.shape[0]])


@pytest.mark.slow
def test_tied_proposals_are_exactly_paddles(operators: list[Operators]) -> None:
    (item,) = of_kind(operators, "generate_proposals")
    count, most = item.step.attributes["levels"], item.step.attributes["pre_nms_top_n"]
    for steps in (64, 4):
        scores = [rounded(array, steps) for array in item.inputs[:count]]
        ordered = [np.sort(array.ravel())[::-1] for array in scores]
        assert any(len(o) > most and o[most - 1] == o[most] for o in ordered)
        tied = replace(item, inputs=[*scores, *item.inputs[count:]])
        assert_exactly(replace(tied, outputs=list(paddles_proposals(paddle_module(), tied))))


@pytest.mark.slow
@pytest.mark.parametrize("nms_top_k", [-1, 20])
def test_tied_detections_are_exactly_paddles(operators: list[Operators], nms_top_k: int) -> None:
    paddle = paddle_module()
    (item,) = of_kind(operators, "multiclass_nms")
    attributes = {**item.step.attributes, "nms_top_k": nms_top_k}
    boxes, scores, counts = item.inputs
    scores = rounded(scores)
    passing = scores[scores > attributes["score_threshold"]]
    assert len(np.unique(passing)) < len(passing)
    arrays = [paddle.to_tensor(array) for array in (boxes, scores, counts.astype(np.int32))]
    wanted = paddle._C_ops.multiclass_nms3(*arrays, *attributes.values())
    step = replace(item.step, attributes=attributes)
    assert_exactly(Operators(step, [boxes, scores, counts], [array.numpy() for array in wanted]))


@pytest.mark.slow
def test_detections_of_shared_boxes_are_exactly_paddles(
    zoo_model: Callable[[str], Path], photos_dir: Path, tmp_path: Path
) -> None:
    """PP-YOLOE_seg: NMS on boxes that all classes share."""
    paddle = paddle_module()
    photo = min(photos_dir.glob("*.jpg"))
    (item,) = captured(zoo_model("PP-YOLOE_seg-S"), None, photo, tmp_path)
    boxes, scores = item.inputs
    for given in (scores, rounded(scores), rounded(scores, 1000)):
        arrays = [paddle.to_tensor(boxes), paddle.to_tensor(given), None]
        wanted = paddle._C_ops.multiclass_nms3(*arrays, *item.step.attributes.values())
        outputs = [array.numpy() for array in wanted]
        assert_exactly(Operators(item.step, [boxes, given], outputs))
