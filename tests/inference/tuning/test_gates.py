# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpip import ops
from hpip.inference.execution.postprocess import Instances
from hpip.inference.tuning.gates import GATES, Prediction, judge
from hpip.types import RleMask


def instances(scores: list[float], shift_px: float = 0.0, mask_shift: int = 0) -> Instances:
    """Squares of 40 pixels, side by side, each with a full mask."""
    count = len(scores)
    x0 = np.arange(count) * 50.0
    boxes = np.stack([x0, x0 * 0, x0 + 40, x0 * 0 + 40], 1).astype(np.float32) + shift_px
    crop = np.zeros((40, 40), np.uint8)
    crop[:, mask_shift:] = 1
    mask = ops.encode_rle(crop)
    masks = [RleMask(mask, (40, 40), (0, int(x))) for x in x0]
    return Instances(np.zeros(count, np.int64), np.array(scores, np.float32), boxes, masks)


RIGHT = [Prediction(0.3, instances([0.9, 0.6]))]


def given(**changes: object) -> list[Prediction]:
    return [Prediction(0.3, instances(**{"scores": [0.9, 0.6], **changes}))]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "int8"])
def test_the_same_answer_passes_every_gate(precision: str) -> None:
    judgement = judge(RIGHT, given(), GATES[precision])
    assert judgement.same
    assert judgement.matched == 2
    assert "2 instances, minimum mask IoU 1.0000" in judgement.reason


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        pytest.param({"scores": [0.9004, 0.6]}, {"fp32", "bf16", "int8"}, id="score-0.0004"),
        pytest.param({"scores": [0.9007, 0.6]}, {"bf16", "int8"}, id="score-0.0007"),
        pytest.param({"scores": [0.915, 0.6]}, {"bf16", "int8"}, id="score-0.015"),
        pytest.param({"scores": [0.94, 0.6]}, {"int8"}, id="score-0.04"),
        pytest.param({"scores": [0.96, 0.6]}, set(), id="score-0.06"),
        pytest.param({"shift_px": 0.2}, {"fp32", "bf16", "int8"}, id="box-0.2"),
        pytest.param({"shift_px": 0.4}, {"bf16", "int8"}, id="box-0.4"),
        pytest.param({"shift_px": 1.5}, {"bf16", "int8"}, id="box-1.5"),
        pytest.param({"shift_px": 3.0}, {"int8"}, id="box-3"),
        pytest.param({"mask_shift": 1}, {"int8"}, id="mask-0.975"),
        pytest.param({"mask_shift": 4}, set(), id="mask-0.9"),
        pytest.param({"scores": [0.9]}, set(), id="missing"),
        pytest.param({"scores": [0.9, 0.6, 0.5]}, set(), id="extra"),
        pytest.param({"scores": [0.9, 0.6, 0.33]}, {"bf16", "int8"}, id="extra-near-threshold"),
    ],
)
def test_each_precision_has_its_gate(changes: dict[str, object], passes: set[str]) -> None:
    for precision in ("fp32", "bf16", "int8"):
        judgement = judge(RIGHT, given(**changes), GATES[precision])
        assert judgement.same == (precision in passes), (precision, judgement.reason)
        if not judgement.same:
            assert "prediction 1 of 1 at threshold 0.3" in judgement.reason


def test_nothing_on_both_sides_proves_nothing() -> None:
    judgement = judge(
        [Prediction(0.3, instances([]))], [Prediction(0.3, instances([]))], GATES["fp32"]
    )
    assert not judgement.same
    assert judgement.matched == 0
    assert "no instances in the images" in judgement.reason


def test_one_wrong_answer_of_several_is_wrong() -> None:
    wrong = [Prediction(0.3, replace(instances([0.9, 0.6]), class_ids=np.ones(2, np.int64)))]
    judgement = judge(RIGHT + RIGHT, given() + wrong, GATES["fp32"])
    assert not judgement.same
    assert "prediction 2 of 2" in judgement.reason
