# SPDX-License-Identifier: Apache-2.0
"""The network up to the raw head outputs ("trunk"), for PyTorch (training) and Paddle (export).

Both frameworks use the same parameter names, so `export.py` copies the weights by name.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

STRIDES = (32, 16, 8)  # coarse to fine, the order of the levels in PP-YOLOE
DISTANCE_BINS = 9
COEFFICIENTS = 24
WIDTHS = (16, 32, 64, 128, 192)
NECK_WIDTH = 80
PROTO_WIDTH = 48


def torch_layers() -> SimpleNamespace:
    """Return the PyTorch layers that the network uses."""
    import torch
    from torch import nn

    return SimpleNamespace(
        Module=nn.Module,
        Sequential=nn.Sequential,
        ModuleList=nn.ModuleList,
        conv=lambda i, o, k, s=1, bias=True: nn.Conv2d(i, o, k, s, k // 2, bias=bias),
        norm=nn.BatchNorm2d,
        swish=nn.functional.silu,
        sigmoid=torch.sigmoid,
        concat=torch.cat,
        mean=lambda x: x.mean((2, 3), keepdim=True),
        double=lambda x: nn.functional.interpolate(x, scale_factor=2, mode="nearest"),
        pool=nn.MaxPool2d,
    )


def paddle_layers() -> SimpleNamespace:
    """Return the Paddle layers that the network uses."""
    import paddle
    from paddle import nn

    def conv(i: int, o: int, k: int, s: int = 1, bias: bool = True) -> nn.Conv2D:
        return nn.Conv2D(i, o, k, s, k // 2, bias_attr=None if bias else False)

    return SimpleNamespace(
        Module=nn.Layer,
        Sequential=nn.Sequential,
        ModuleList=nn.LayerList,
        conv=conv,
        norm=nn.BatchNorm2D,
        swish=nn.functional.swish,
        sigmoid=nn.functional.sigmoid,
        concat=paddle.concat,
        mean=lambda x: nn.functional.adaptive_avg_pool2d(x, 1),
        double=lambda x: nn.functional.interpolate(x, scale_factor=2, mode="nearest"),
        pool=nn.MaxPool2D,
    )


def build_trunk(fw: SimpleNamespace, classes: int) -> Any:
    """Build the network up to the raw outputs of its head.

    Args:
        fw: `torch_layers()` or `paddle_layers()`.
        classes: number of labels.

    Returns:
        A module: image (B, 3, h, w) in [0, 1] -> (logits, distances, coefficients, prototypes); the
        first three are lists over `STRIDES`, prototypes are (B, COEFFICIENTS, h/4, w/4).
    """

    class ConvNorm(fw.Module):
        def __init__(self, i: int, o: int, k: int = 3, s: int = 1) -> None:
            super().__init__()
            self.conv = fw.conv(i, o, k, s, bias=False)
            self.norm = fw.norm(o)

        def forward(self, x):
            return fw.swish(self.norm(self.conv(x)))

    class Residual(fw.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.first = ConvNorm(width, width)
            self.second = ConvNorm(width, width)

        def forward(self, x):
            return x + self.second(self.first(x))

    class Split(fw.Module):
        """Cross-stage partial (CSP) block: half of the channels bypass the residual units."""

        def __init__(self, i: int, o: int, units: int) -> None:
            super().__init__()
            self.skip = ConvNorm(i, o // 2, 1)
            self.enter = ConvNorm(i, o // 2, 1)
            self.units = fw.Sequential(*[Residual(o // 2) for _ in range(units)])
            self.leave = ConvNorm(o, o, 1)

        def forward(self, x):
            return self.leave(fw.concat([self.skip(x), self.units(self.enter(x))], 1))

    class Backbone(fw.Module):
        def __init__(self) -> None:
            super().__init__()
            a, b, c, d, e = WIDTHS
            self.stem = ConvNorm(3, a, 3, 2)
            self.stage2 = fw.Sequential(ConvNorm(a, b, 3, 2), Split(b, b, 1))
            self.stage3 = fw.Sequential(ConvNorm(b, c, 3, 2), Split(c, c, 2))
            self.stage4 = fw.Sequential(ConvNorm(c, d, 3, 2), Split(d, d, 2))
            self.stage5 = fw.Sequential(ConvNorm(d, e, 3, 2), Split(e, e, 1))
            self.pool = fw.pool(5, 1, 2)
            self.context = ConvNorm(3 * e, NECK_WIDTH, 1)

        def forward(self, x):
            c2 = self.stage2(self.stem(x))
            c3 = self.stage3(c2)
            c4 = self.stage4(c3)
            c5 = self.stage5(c4)
            near = self.pool(c5)
            return c2, c3, c4, self.context(fw.concat([c5, near, self.pool(near)], 1))

    class Neck(fw.Module):
        def __init__(self) -> None:
            super().__init__()
            n = NECK_WIDTH
            self.down4 = Split(WIDTHS[3] + n, n, 1)
            self.down3 = Split(WIDTHS[2] + n, n, 1)
            self.shrink4 = ConvNorm(n, n, 3, 2)
            self.up4 = Split(2 * n, n, 1)
            self.shrink5 = ConvNorm(n, n, 3, 2)
            self.up5 = Split(2 * n, n, 1)

        def forward(self, c3, c4, c5):
            p4 = self.down4(fw.concat([c4, fw.double(c5)], 1))
            p3 = self.down3(fw.concat([c3, fw.double(p4)], 1))
            p4 = self.up4(fw.concat([p4, self.shrink4(p3)], 1))
            return self.up5(fw.concat([c5, self.shrink5(p4)], 1)), p4, p3

    class Attention(fw.Module):
        """Channel gate from the mean of the map, as in the ESE attention of PP-YOLOE."""

        def __init__(self, width: int) -> None:
            super().__init__()
            self.gate = fw.conv(width, width, 1)
            self.mix = ConvNorm(width, width, 1)

        def forward(self, x, mean):
            return self.mix(x * fw.sigmoid(self.gate(mean)))

    class Level(fw.Module):
        def __init__(self) -> None:
            super().__init__()
            n = NECK_WIDTH
            self.enter = ConvNorm(n, n)
            self.classify, self.locate, self.shape = Attention(n), Attention(n), Attention(n)
            self.logits = fw.conv(n, classes, 3)
            self.distances = fw.conv(n, 4 * DISTANCE_BINS, 3)
            self.coefficients = fw.conv(n, COEFFICIENTS, 3)

        def forward(self, x):
            x = self.enter(x)
            mean = fw.mean(x)
            logits = self.logits(self.classify(x, mean) + x)
            distances = self.distances(self.locate(x, mean))
            return logits, distances, self.coefficients(self.shape(x, mean) + x)

    class Prototypes(fw.Module):
        def __init__(self) -> None:
            super().__init__()
            self.coarse = ConvNorm(NECK_WIDTH, PROTO_WIDTH)
            self.fine = ConvNorm(WIDTHS[1], PROTO_WIDTH, 1)
            self.mix = ConvNorm(PROTO_WIDTH, PROTO_WIDTH)
            self.out = fw.conv(PROTO_WIDTH, COEFFICIENTS, 1)

        def forward(self, p3, c2):
            return self.out(self.mix(fw.double(self.coarse(p3)) + self.fine(c2)))

    class Trunk(fw.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = Backbone()
            self.neck = Neck()
            self.levels = fw.ModuleList([Level() for _ in STRIDES])
            self.prototypes = Prototypes()

        def forward(self, image):
            c2, c3, c4, c5 = self.backbone(image)
            p5, p4, p3 = self.neck(c3, c4, c5)
            logits5, distances5, shape5 = self.levels[0](p5)
            logits4, distances4, shape4 = self.levels[1](p4)
            logits3, distances3, shape3 = self.levels[2](p3)
            logits = [logits5, logits4, logits3]
            distances = [distances5, distances4, distances3]
            return logits, distances, [shape5, shape4, shape3], self.prototypes(p3, c2)

    return Trunk()
