# SPDX-License-Identifier: Apache-2.0
"""Evaluates an exported model with plain Paddle on the held-out data set and the coins image."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent
DEMO = HERE.parents[1] / "hpip" / "demo"
AP_SCORE = 0.05
COIN_SCORES = (0.05, 0.5)
COIN_IOU = 0.75


@dataclass(frozen=True)
class Instances:
    """Detections of one image in descending order of the scores; masks are (N, H, W) bool."""

    classes: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray

    def above(self, score: float) -> Instances:
        """Return the detections with at least this score."""
        keep = self.scores >= score
        return Instances(self.classes[keep], self.scores[keep], self.boxes[keep], self.masks[keep])


class PlainPaddle:
    """Runs the exported model with Paddle Inference, without oneDNN."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        from paddle import inference

        config = inference.Config(
            str(folder / "inference.json"), str(folder / "inference.pdiparams")
        )
        config.disable_gpu()
        if hasattr(config, "disable_mkldnn"):
            config.disable_mkldnn()
        config.set_cpu_math_library_num_threads(threads)
        config.disable_glog_info()
        self._predictor = inference.create_predictor(config)

    def __call__(self, rgb: np.ndarray, side: int = 320) -> Instances:
        """Detect instances in one (H, W, 3) uint8 RGB image."""
        height, width = rgb.shape[:2]
        resized = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_CUBIC)
        feed = {
            "image": (resized.astype(np.float32) / 255.0).transpose(2, 0, 1)[None],
            "im_shape": np.float32([[side, side]]),
            "scale_factor": np.float32([[side / height, side / width]]),
        }
        for name in self._predictor.get_input_names():
            handle = self._predictor.get_input_handle(name)
            handle.copy_from_cpu(np.ascontiguousarray(feed[name]))
        self._predictor.run()
        names = self._predictor.get_output_names()
        rows, _, masks = (self._predictor.get_output_handle(n).copy_to_cpu() for n in names)
        order = np.argsort(-rows[:, 1], kind="stable")
        rows, masks = rows[order], masks[order] > 0.5
        # The graph truncates 320 / (320 / H) to an integer, and float32 may round it below H: the
        # masks then lack a row or column (261 instead of 262), as in the official models.
        missing = (height - masks.shape[1], width - masks.shape[2])
        masks = np.pad(masks, ((0, 0), (0, missing[0]), (0, missing[1])))
        return Instances(rows[:, 0].astype(int), rows[:, 1], rows[:, 2:], masks)


def mask_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the (N, M) IoU of two stacks of boolean masks."""
    flat_a, flat_b = a.reshape(len(a), -1).astype(np.float32), b.reshape(len(b), -1)
    overlap = flat_a @ flat_b.T.astype(np.float32)
    union = flat_a.sum(1)[:, None] + flat_b.sum(1)[None] - overlap
    return overlap / np.maximum(union, 1)


def coco_results(model: PlainPaddle, folder: Path) -> list[dict]:
    """Run the model on the held-out images; return COCO result records with RLE masks."""
    from pycocotools import mask as coco_mask
    from tqdm import tqdm

    document = json.loads((folder / "annotations.json").read_text())
    records = []
    for image in tqdm(document["images"], desc="held-out images"):
        found = model(read_rgb(folder / image["file_name"])).above(AP_SCORE)
        for label, score, mask in zip(found.classes, found.scores, found.masks, strict=True):
            rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
            rle["counts"] = rle["counts"].decode()
            records.append(
                {
                    "image_id": image["id"],
                    "category_id": int(label) + 1,
                    "segmentation": rle,
                    "score": float(score),
                }
            )
    return records


def coco_ap(folder: Path, records: list[dict]) -> dict[str, float]:
    """Return mask AP, AP50, AP75 and the AP of each class."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "annotations.json"))
        scorer = COCOeval(truth, truth.loadRes(records), "segm")
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    names = [category["name"] for category in truth.loadCats(truth.getCatIds())]
    precision = scorer.eval["precision"][:, :, :, 0, 2]
    per_class = {
        name: float(curve[curve > -1].mean())
        for name, curve in zip(names, np.moveaxis(precision, 2, 0), strict=True)
    }
    ap, ap50, ap75 = (float(value) for value in scorer.stats[:3])
    return {"AP": ap, "AP50": ap50, "AP75": ap75, **per_class}


def read_rgb(path: Path) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB."""
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


def coin_report(found: Instances, reference: Path) -> dict[str, dict[str, float]]:
    """Match the detections in the coins image in descending order of the scores, each coin once.

    All unmatched detections count as false positives, whatever their class.
    """
    labels = cv2.imread(str(reference), cv2.IMREAD_UNCHANGED)
    coins = labels[None] == np.arange(1, labels.max() + 1)[:, None, None]
    report = {}
    for score in COIN_SCORES:
        kept = found.above(score)
        iou = mask_iou(kept.masks, coins) * (kept.classes == 0)[:, None]
        matched: dict[int, float] = {}
        for row in iou:
            free = [k for k in range(len(coins)) if k not in matched]
            best = max(free, key=lambda k: row[k], default=None)
            if best is not None and row[best] >= COIN_IOU:
                matched[best] = float(row[best])
        report[str(score)] = {
            "coins": len(coins),
            "found": len(matched),
            "false": len(kept.scores) - len(matched),
            "mean_iou": round(float(np.mean(list(matched.values()) or [0.0])), 4),
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=DEMO)
    parser.add_argument("--held-out", type=Path, help="folder of `data.py held-out`")
    parser.add_argument("--coins", type=Path, default=DEMO / "coins.png")
    parser.add_argument("--reference", type=Path, default=HERE / "coins_reference.png")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    model = PlainPaddle(args.model, args.threads)
    report: dict = {"coins": coin_report(model(read_rgb(args.coins)), args.reference)}
    if args.held_out:
        report["held_out"] = coco_ap(args.held_out, coco_results(model, args.held_out))
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
