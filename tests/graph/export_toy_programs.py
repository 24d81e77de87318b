# SPDX-License-Identifier: Apache-2.0
"""Run in a child process: exports tiny programs with Paddle into the folder named by argv[1].

The environment variable FLAGS_enable_pir_api decides on the format. `batch` treats every image of
a batch alike; `first` looks at the first image's size only; `mixing` has a batch norm that takes
its statistics from the batch, `stored` one with stored statistics.
"""

from __future__ import annotations

import sys
from pathlib import Path

import paddle


class Toy(paddle.nn.Layer):
    def __init__(self, first_only: bool, norm: paddle.nn.Layer) -> None:
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 6, 1)
        self.norm = norm
        self.first_only = first_only

    def forward(self, im_shape, image, scale_factor):
        features = self.norm(self.conv(image))
        boxes = features.mean(axis=[2, 3])
        counts = paddle.ones([image.shape[0]], dtype="int32")
        sizes = im_shape / scale_factor
        wanted = sizes[0] if self.first_only else sizes.mean(axis=0)
        masks = (features[:, 0] > wanted.mean()).cast("int32")
        return boxes, counts, masks


def export(first_only: bool, norm: paddle.nn.Layer, prefix: Path) -> None:
    spec = paddle.static.InputSpec
    inputs = [
        spec([-1, 2], "float32", name="im_shape"),
        spec([-1, 3, 32, 48], "float32", name="image"),
        spec([-1, 2], "float32", name="scale_factor"),
    ]
    toy = Toy(first_only, norm)
    toy.eval()
    paddle.jit.save(paddle.jit.to_static(toy, full_graph=True), str(prefix), input_spec=inputs)


folder = Path(sys.argv[1])
export(False, paddle.nn.Identity(), folder / "batch" / "inference")
export(True, paddle.nn.Identity(), folder / "first" / "inference")
norm = paddle.nn.BatchNorm2D
export(False, norm(6, use_global_stats=False), folder / "mixing" / "inference")
export(False, norm(6), folder / "stored" / "inference")
