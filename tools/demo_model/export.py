# SPDX-License-Identifier: Apache-2.0
"""Copies the trained weights to Paddle by name, and exports the model with its post-processing.

The part of the graph from NMS to the outputs reproduces the official PP-YOLOE_seg model operator by
operator (inputs, outputs, order, the dummy row if there is no detection), so that rewrites of that
graph apply to this one, too. `python print_tail.py A.json B.json` prints the difference.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import paddle
import yaml
from network import COEFFICIENTS, DISTANCE_BINS, STRIDES, build_trunk, paddle_layers
from paddle.nn import functional as nnf

INPUT_SIDE = 320
MODEL_NAME = "hpip-demo"
NMS = {
    "score_threshold": 0.01,
    "nms_top_k": 1000,
    "keep_top_k": 300,
    "nms_threshold": 0.7,
    "normalized": True,
    "nms_eta": 1.0,
    "background_label": -1,
}


class DemoModel(paddle.nn.Layer):
    """The network, box decoding, NMS, and masks in the size of the original image."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.trunk = build_trunk(paddle_layers(), classes)
        bins = np.arange(DISTANCE_BINS, dtype=np.float32).reshape(1, -1, 1, 1)
        self.register_buffer("bins", paddle.to_tensor(bins))
        points, strides = _anchors()
        self.register_buffer("points", paddle.to_tensor(points))
        self.register_buffer("strides", paddle.to_tensor(strides))

    def forward(self, im_shape, image, scale_factor):
        logits, distances, shapes, prototypes = self.trunk(image)
        boxes, scores, coefficients = self.decode(logits, distances, shapes)
        found = paddle._C_ops.multiclass_nms3(boxes, scores, None, *NMS.values())
        instances, anchors, counts = found
        if counts.sum() > 0:
            of_anchors = coefficients.transpose([0, 2, 1]).reshape([-1, COEFFICIENTS])
            of_rows = paddle.gather(of_anchors, anchors)
            masks = self.paste(of_rows, prototypes[0], instances[:, 2:], im_shape, scale_factor)
            scale_xyxy = scale_factor.flip(-1).tile([1, 2])
            instances[:, 2:] = instances[:, 2:] / scale_xyxy
        else:
            original = im_shape[0] / scale_factor[0]
            bottom, right = original[0], original[1]
            counts = paddle.to_tensor([1]).astype("int32")
            instances = paddle.zeros([counts, 6])
            masks = paddle.zeros([counts, bottom.astype("int32"), right.astype("int32")])
        return instances, counts, masks

    def decode(self, logits, distances, shapes):
        """Return boxes (B, A, 4) in input pixels, scores (B, C, A), coefficients (B, K, A)."""
        scores, reaches, coefficients = [], [], []
        for level, stride in enumerate(STRIDES):
            cells = (INPUT_SIDE // stride) ** 2
            coefficients.append(shapes[level].reshape([-1, COEFFICIENTS, cells]))
            bins = distances[level].reshape([-1, 4, DISTANCE_BINS, cells])
            chance = nnf.softmax(bins.transpose([0, 2, 3, 1]), axis=1)
            reaches.append(nnf.conv2d(chance, self.bins).squeeze(1))
            scores.append(nnf.sigmoid(logits[level]).reshape([-1, self.classes, cells]))
        scores = paddle.concat(scores, axis=-1)
        coefficients = paddle.concat(coefficients, axis=-1)
        before, after = paddle.concat(reaches, axis=1).split(2, -1)
        corners = paddle.concat([-before + self.points, after + self.points], axis=-1)
        return corners * self.strides, scores, coefficients

    def paste(self, coefficients, prototypes, boxes, im_shape, scale_factor):
        """Combine prototypes, crop to the box, resize to the original image, and threshold."""
        quarter = INPUT_SIDE // 4
        masks = nnf.sigmoid(coefficients @ prototypes.reshape([COEFFICIENTS, -1]))
        masks = masks.reshape([-1, quarter, quarter]).unsqueeze(0)
        masks = nnf.interpolate(masks, size=[INPUT_SIDE, INPUT_SIDE], mode="bilinear")[0]
        x0, y0, x1, y1 = boxes.unsqueeze(2).split(4, axis=1)
        column = paddle.arange(INPUT_SIDE, dtype="float32").unsqueeze([0, 1])
        row = paddle.arange(INPUT_SIDE, dtype="float32").unsqueeze([0, 2])
        inside = (column >= x0) * (column < x1) * (row >= y0) * (row < y1)
        masks = masks * inside.astype("float32")
        original = im_shape[0] / scale_factor[0]
        bottom, right = original[0], original[1]
        masks = masks.unsqueeze(0)
        height = paddle.round(INPUT_SIDE / scale_factor[0][0]).astype("int32")
        width = paddle.round(INPUT_SIDE / scale_factor[0][1]).astype("int32")
        masks = nnf.interpolate(masks, size=[height, width], mode="bilinear")
        masks = masks[:, :, : bottom.astype("int32"), : right.astype("int32")].squeeze(0)
        return (masks > 0.5).astype("float32")


def _anchors() -> tuple[np.ndarray, np.ndarray]:
    points, strides = [], []
    for stride in STRIDES:
        side = INPUT_SIDE // stride
        y, x = np.mgrid[0:side, 0:side].astype(np.float32) + 0.5
        points.append(np.stack([x.ravel(), y.ravel()], 1))
        strides.append(np.full((side * side, 1), stride, np.float32))
    return np.concatenate(points), np.concatenate(strides)


def load_weights(trunk: paddle.nn.Layer, weights: dict[str, np.ndarray]) -> None:
    """Copy PyTorch's arrays to the Paddle network by name.

    Raises:
        KeyError: a parameter is missing or unknown.
    """
    renamed = {
        name.replace("running_mean", "_mean").replace("running_var", "_variance"): value
        for name, value in weights.items()
        if not name.endswith("num_batches_tracked")
    }
    expected = set(trunk.state_dict())
    if expected != set(renamed):
        message = f"missing or unknown parameters: {sorted(expected ^ set(renamed))[:5]} ..."
        raise KeyError(message)
    trunk.set_state_dict({name: paddle.to_tensor(value) for name, value in renamed.items()})


def write_model(folder: Path, weights: dict[str, np.ndarray], labels: list[str]) -> None:
    """Write `inference.json`, `inference.pdiparams` and `inference.yml`."""
    model = DemoModel(len(labels))
    load_weights(model.trunk, weights)
    model.eval()
    pair = [None, 2]
    spec = [
        paddle.static.InputSpec(pair, "float32", "im_shape"),
        paddle.static.InputSpec([None, 3, INPUT_SIDE, INPUT_SIDE], "float32", "image"),
        paddle.static.InputSpec(pair, "float32", "scale_factor"),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    traced = paddle.jit.to_static(model, input_spec=spec, full_graph=True)
    paddle.jit.save(traced, f"{folder}/inference")
    (folder / "inference.yml").write_text(yaml.safe_dump(config(labels), sort_keys=False))


def config(labels: list[str]) -> dict:
    """Return preprocessing and labels with the keys of the official `inference.yml`."""
    return {
        "mode": "paddle",
        "draw_threshold": 0.5,
        "metric": "COCO",
        "use_dynamic_shape": False,
        "arch": "PPYOLOE",
        "min_subgraph_size": 3,
        "mask": True,
        "Preprocess": [
            {
                "interp": 2,
                "keep_ratio": False,
                "target_size": [INPUT_SIDE, INPUT_SIDE],
                "type": "Resize",
            },
            {
                "mean": [0.0, 0.0, 0.0],
                "norm_type": "none",
                "std": [1.0, 1.0, 1.0],
                "type": "NormalizeImage",
            },
            {"type": "Permute"},
        ],
        "label_list": labels,
        "Global": {"model_name": MODEL_NAME},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, help="weights.npz of `train.py --weights`")
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    with np.load(args.weights) as stored:
        weights = {name: stored[name] for name in stored.files if name != "labels"}
        labels = [str(name) for name in stored["labels"]]
    write_model(args.folder, weights, labels)
    sizes = {path.name: path.stat().st_size for path in sorted(args.folder.glob("inference.*"))}
    print(json.dumps(sizes))


if __name__ == "__main__":
    main()
