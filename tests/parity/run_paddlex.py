# SPDX-License-Identifier: Apache-2.0
"""Run one model on one photo with PaddleX on plain Paddle, and write a record.

Runs in the environment that make_env.py makes. Plain Paddle has to be asked for through
`engine_config`: PaddleX 3.7.2 drops a `pp_option` without a word (`_pp_option_to_engine_config`
reads the option's `__dict__`, which holds nothing but a private dict).
"""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any

import numpy as np
from record import Instances, Mask, parse_args, record_run

# The model is on disk: nothing may look for it on the network.
os.environ["PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK"] = "True"

from paddlex import create_model
from paddlex.inference.models.instance_segmentation import processors
from pycocotools import mask as coco_mask


class DroppedBoxes:
    """Counts the boxes that PaddleX drops without dropping their masks.

    Each drop shifts the masks of all later boxes by one, so that boxes and masks of the result no
    longer belong together.
    """

    def __init__(self) -> None:
        self._restructured_boxes = processors.restructured_boxes
        self.in_last_call = 0
        processors.restructured_boxes = self

    def __call__(self, boxes: np.ndarray, *args: Any) -> list[dict[str, Any]]:
        kept = self._restructured_boxes(boxes, *args)
        self.in_last_call = len(boxes) - len(kept)
        return kept


def encode(mask: np.ndarray, offset_yx: tuple[int, int]) -> Mask | None:
    """Run-length codes of a crop, or None where rounding has left no pixel to crop."""
    if mask.size == 0:
        return None
    codes = coco_mask.encode(np.asfortranarray(mask != 0, dtype=np.uint8))
    return Mask(codes["counts"].decode("ascii"), mask.shape, offset_yx)


def boxed_instances(result: dict[str, Any], masks_belong_to_boxes: bool) -> Instances:
    boxes = result["boxes"]
    corners = [[float(value) for value in box["coordinate"]] for box in boxes]
    return Instances(
        boxes_from_masks=False,
        boxes_xyxy=corners,
        scores=[float(box["score"]) for box in boxes],
        class_ids=[int(box["cls_id"]) for box in boxes],
        masks=[
            encode(np.asarray(mask), (round(y0), round(x0))) if masks_belong_to_boxes else None
            for mask, (x0, y0, _, _) in zip(result["masks"], corners, strict=True)
        ],
    )


def bounds_xyxy(mask: np.ndarray) -> list[float]:
    """Half-open bounds of the pixels of a mask that has some."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [float(v) for v in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)]


def boxless_instances(result: dict[str, Any]) -> Instances:
    """SOLOv2: masks of the whole image and no boxes; the boxes are the masks' bounds.

    PaddleX also returns masks without a pixel, which its own drawing then fails on: they are no
    instances and left out.
    """
    found = [
        (box, mask)
        for box, mask in zip(result["boxes"], map(np.asarray, result["masks"]), strict=True)
        if mask.any()
    ]
    return Instances(
        boxes_from_masks=True,
        boxes_xyxy=[bounds_xyxy(mask) for _, mask in found],
        scores=[float(box["score"]) for box, _ in found],
        class_ids=[int(box["class_id"]) for box, _ in found],
        masks=[encode(mask, (0, 0)) for _, mask in found],
    )


def main() -> None:
    args = parse_args(__doc__)
    dropped = DroppedBoxes()

    def load() -> Any:
        return create_model(
            args.model_dir.name,
            model_dir=str(args.model_dir),
            device="cpu",
            engine="paddle_static",
            engine_config={"run_mode": "paddle", "cpu_threads": args.threads},
        )

    def predict(model: Any, pixels: np.ndarray, threshold: float) -> dict[str, Any]:
        (result,) = model.predict(pixels, threshold=threshold)
        return result

    def instances_of(result: dict[str, Any]) -> Instances:
        if any("coordinate" not in box for box in result["boxes"]):
            return boxless_instances(result)
        return boxed_instances(result, masks_belong_to_boxes=dropped.in_last_call == 0)

    software = {name: version(name) for name in ("paddlex", "paddlepaddle", "numpy")}
    record_run(args, software, load, predict, instances_of).save(args.out)


if __name__ == "__main__":
    main()
