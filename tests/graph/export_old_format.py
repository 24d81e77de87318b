# SPDX-License-Identifier: Apache-2.0
"""Run in a child process with FLAGS_enable_pir_api=0: exports a head as `.pdmodel`.

    python -m tests.graph.export_old_format NAME FOLDER

Some functions of Paddle 3.2 only make programs of Paddle 3; the same operators are made here.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import paddle
from paddle.base.layer_helper import LayerHelper

from . import heads


def unary(kind: str, x: Any, name: str | None = None) -> Any:
    helper = LayerHelper(kind)
    out = helper.create_variable_for_type_inference(dtype=x.dtype)
    helper.append_op(type=kind, inputs={"X": x}, outputs={"Out": out})
    return out


def nms(paddle: Any, boxes: Any, scores: Any, rois_num: Any, **options: Any) -> Any:
    helper = LayerHelper("multiclass_nms3")
    rows = helper.create_variable_for_type_inference(dtype=boxes.dtype)
    index, counts = (helper.create_variable_for_type_inference(dtype="int32") for _ in range(2))
    inputs = {"BBoxes": boxes, "Scores": scores}
    if rois_num is not None:
        inputs["RoisNum"] = rois_num
    helper.append_op(
        type="multiclass_nms3",
        inputs=inputs,
        outputs={"Out": rows, "Index": index, "NmsRoisNum": counts},
        attrs={**heads.NMS_OPTIONS, **options},
    )
    return rows, counts, index


if __name__ == "__main__":
    paddle.nn.functional.sigmoid = partial(unary, "sigmoid")
    paddle.floor = partial(unary, "floor")
    paddle.logical_not = partial(unary, "logical_not")
    heads.nms = nms
    getattr(heads, sys.argv[1])(Path(sys.argv[2]))
