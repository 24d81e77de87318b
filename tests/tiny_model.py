# SPDX-License-Identifier: Apache-2.0
"""Exports a network without weights that really segments: it finds red, green and blue areas.

It has the official exports' inputs and outputs, so that everything around the network can be tested
against answers that anyone can see. A class is an area where its channel is bright and the two
others are dark; its score is the area's mean brightness, its box the area's bounding box.
"""

from __future__ import annotations

from pathlib import Path

import yaml

LABELS = ("red", "green", "blue")
_INTERP_NEAREST = 0


def export_tiny_model(
    folder: Path,
    *,
    layout: str = "boxes",
    keep_ratio: bool = False,
    target_hw: tuple[int, int] = (64, 64),
) -> Path:
    """Write inference.json, .pdiparams and .yml; returns the folder.

    Args:
        folder: is made when absent.
        layout: "boxes" as Mask-RT-DETR returns, or "classes" as SOLOv2 does (one image only).
        keep_ratio: resize by the longer side and pad to a multiple of 32, as Mask R-CNN does.
        target_hw: size of the network's input.
    """
    import paddle

    folder.mkdir(parents=True, exist_ok=True)
    network = paddle.jit.to_static(
        _network(layout),
        input_spec=[
            paddle.static.InputSpec([None, 2], "float32", name="im_shape"),
            paddle.static.InputSpec([None, 3, None, None], "float32", name="image"),
            paddle.static.InputSpec([None, 2], "float32", name="scale_factor"),
        ],
        full_graph=True,
    )
    network.eval()
    paddle.jit.save(network, str(folder / "inference"))
    steps = [
        {
            "type": "Resize",
            "target_size": list(target_hw),
            "keep_ratio": keep_ratio,
            "interp": _INTERP_NEAREST,
        },
        {"type": "NormalizeImage", "mean": [0.0] * 3, "std": [1.0] * 3, "norm_type": "none"},
        {"type": "Permute"},
    ]
    if keep_ratio:
        steps.append({"type": "PadStride", "stride": 32})
    settings = {
        "mode": "paddle",
        "draw_threshold": 0.5,
        "arch": "SOLOv2" if layout == "classes" else "DETR",
        "mask": True,
        "Preprocess": steps,
        "label_list": list(LABELS),
        "Global": {"model_name": f"tiny-{layout}"},
    }
    (folder / "inference.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return folder


def _network(layout: str):
    import paddle
    from paddle.nn import functional

    class ColourSegmenter(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            # The exports always have a parameters file; a program without one has none to load.
            self.gain = self.create_parameter(
                [1], default_initializer=paddle.nn.initializer.Constant(1.0)
            )

        def forward(self, im_shape, image, scale_factor):
            own = image * self.gain
            others = own.sum(axis=1, keepdim=True) - own
            areas = paddle.cast((own > 0.5) & (others < 0.4), "float32")
            pixels = areas.sum(axis=[2, 3])
            scores = (own * areas).sum(axis=[2, 3]) / paddle.clip(pixels, min=1.0)
            scale_yx = scale_factor.unsqueeze(1)
            y0, y1 = _extent(paddle.amax(areas, axis=3))
            x0, x1 = _extent(paddle.amax(areas, axis=2))
            top_left = paddle.stack([x0, y0], axis=2) / scale_yx.flip(axis=2)
            bottom_right = paddle.stack([x1, y1], axis=2) / scale_yx.flip(axis=2)
            classes = paddle.arange(3, dtype="float32").reshape([1, 3]) + scores * 0
            boxes = paddle.concat(
                [classes.unsqueeze(2), scores.unsqueeze(2), top_left, bottom_right], axis=2
            )
            image_hw = paddle.cast(paddle.floor(im_shape[0] / scale_factor[0] + 0.5), "int32")
            h = paddle.cast(im_shape[0, 0], "int32")
            w = paddle.cast(im_shape[0, 1], "int32")
            inside = areas[:, :, :h, :w]
            masks = functional.interpolate(inside, size=[image_hw[0], image_hw[1]], mode="nearest")
            masks = masks.reshape([-1, masks.shape[2], masks.shape[3]])
            if layout == "classes":
                count = paddle.cast(paddle.shape(scores)[1], "int64")
                return (
                    count,
                    paddle.cast(classes, "int64").reshape([-1]),
                    scores.reshape([-1]),
                    paddle.cast(masks, "uint8"),
                )
            counts = paddle.cast(scores[:, 0] * 0 + 3, "int32")
            return boxes.reshape([-1, 6]), counts, paddle.cast(masks, "int32")

    def _extent(line):
        """First and one past the last set position along the last axis; 0, 0 when none is."""
        length = paddle.shape(line)[2]
        position = paddle.arange(length, dtype="float32").reshape([1, 1, -1])
        last = paddle.amax(line * (position + 1), axis=2)
        far = paddle.cast(length, "float32")
        first = far - paddle.amax(line * (far - position), axis=2)
        return paddle.minimum(first, last), last

    return ColourSegmenter()
