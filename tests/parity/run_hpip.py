# SPDX-License-Identifier: Apache-2.0
"""Run one model on one photo with hpip's reference path (`use_hpip=False`), and write a record."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
from record import Instances, Mask, parse_args, record_run

import hpip


def instances_of(result: Any) -> Instances:
    return Instances(
        boxes_from_masks=False,
        boxes_xyxy=result.boxes_xyxy.tolist(),
        scores=result.scores.tolist(),
        class_ids=result.class_ids.tolist(),
        masks=[
            Mask(mask.counts.decode("ascii"), mask.crop_hw, mask.offset_yx) for mask in result.rle
        ],
    )


def main() -> None:
    args = parse_args(__doc__)

    def load() -> Any:
        return hpip.create_predictor(
            args.model_dir.name,
            model_dir=str(args.model_dir),
            device="cpu",
            use_hpip=False,
            threads=args.threads,
        )

    def predict(model: Any, pixels: np.ndarray, threshold: float) -> Any:
        (result,) = model.predict(pixels, threshold=threshold)
        return result

    software = {name: version(name) for name in ("hpip", "paddlepaddle", "numpy")}
    record_run(args, software, load, predict, instances_of).save(args.out)


if __name__ == "__main__":
    main()
