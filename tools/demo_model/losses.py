# SPDX-License-Identifier: Apache-2.0
"""Training loss in PyTorch: task-aligned assignment; class, box, distance-bin and mask losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from network import DISTANCE_BINS, STRIDES
from torch import Tensor
from torch.nn import functional as nnf

CANDIDATES = 10
MASKS_PER_IMAGE = 20
WEIGHTS = {"class": 1.0, "iou": 2.5, "bins": 0.5, "mask": 2.0}


@dataclass
class Targets:
    """One batch; M is the largest instance count in it, padding rows have class -1."""

    boxes: Tensor  # (B, M, 4) xyxy, input pixels
    classes: Tensor  # (B, M) int64
    masks: Tensor  # (B, M, h/4, w/4) coverage in [0, 1]


@dataclass
class Dense:
    """Head outputs flattened over the levels; A anchors."""

    logits: Tensor  # (B, A, C)
    bins: Tensor  # (B, A, 4, DISTANCE_BINS)
    coefficients: Tensor  # (B, A, K)
    prototypes: Tensor  # (B, K, h/4, w/4)
    centres: Tensor  # (A, 2) xy, input pixels
    strides: Tensor  # (A, 1)

    def boxes(self) -> Tensor:
        """Decode (B, A, 4) xyxy boxes in input pixels."""
        steps = torch.arange(DISTANCE_BINS, dtype=torch.float32)
        reach = (self.bins.softmax(-1) @ steps) * self.strides
        return torch.cat([self.centres - reach[..., :2], self.centres + reach[..., 2:]], -1)


def flatten(outputs: tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]) -> Dense:
    """Convert the per-level outputs of the network to float32 rows, one per anchor."""
    logits, distances, coefficients, prototypes = outputs
    centres, strides = [], []
    for level, stride in zip(logits, STRIDES, strict=True):
        height, width = level.shape[2:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        centres.append((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((height * width, 1), float(stride)))

    def rows(maps: list[Tensor]) -> Tensor:
        return torch.cat([m.float().flatten(2) for m in maps], 2).transpose(1, 2)

    bins = rows(distances)
    return Dense(
        logits=rows(logits),
        bins=bins.reshape(*bins.shape[:2], 4, DISTANCE_BINS),
        coefficients=rows(coefficients),
        prototypes=prototypes.float(),
        centres=torch.cat(centres),
        strides=torch.cat(strides),
    )


def box_iou(a: Tensor, b: Tensor, *, generalised: bool = False) -> Tensor:
    """IoU, or generalised IoU, of broadcastable xyxy boxes."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    area = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1)
    union = area + (b[..., 2:] - b[..., :2]).prod(-1) - overlap + 1e-7
    if not generalised:
        return overlap / union
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    hull_area = hull.prod(-1) + 1e-7
    return overlap / union - (hull_area - union) / hull_area


@torch.no_grad()
def assign(dense: Dense, boxes: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """Assign to each object the anchors with the highest alignment.

    Returns:
        (B, A) index of the object per anchor, -1 for none, and (B, A) soft class target.
    """
    valid = targets.classes >= 0
    iou = box_iou(boxes[:, None], targets.boxes[:, :, None])
    offset_low = dense.centres - targets.boxes[:, :, None, :2]
    offset_high = targets.boxes[:, :, None, 2:] - dense.centres
    inside = torch.cat([offset_low, offset_high], -1).amin(-1) > 0
    label = targets.classes.clamp(min=0)[:, :, None].expand(-1, -1, dense.centres.shape[0])
    score = dense.logits.sigmoid().transpose(1, 2).gather(1, label)
    alignment = score.sqrt() * iou**4 * inside * valid[..., None]
    best = alignment.topk(CANDIDATES, dim=-1)
    chosen = torch.zeros_like(alignment).scatter_(-1, best.indices, 1.0) * (alignment > 1e-9)
    quality = iou * chosen
    overlap, owner = quality.max(1)
    owner = torch.where(overlap > 0, owner, -1)
    mine = owner[:, None] == torch.arange(valid.shape[1])[None, :, None]
    alignment = alignment * mine
    peak = alignment.amax(-1, keepdim=True)
    soft = alignment / (peak + 1e-9) * (iou * mine).amax(-1, keepdim=True)
    return owner, soft.sum(1)


def mask_loss(dense: Dense, targets: Targets, owner: Tensor) -> Tensor:
    """Cross-entropy and Dice loss inside the box, over a few random positive anchors per image.

    Args:
        dense: head outputs.
        targets: ground truth.
        owner: (B, A) index of the object per anchor, -1 for none.

    Returns:
        The mean over the selected anchors.
    """
    batch = torch.arange(owner.shape[0])[:, None]
    lot, anchor = (torch.rand(owner.shape) * (owner >= 0)).topk(MASKS_PER_IMAGE, dim=1)
    picked = (lot > 0).float()
    owner = owner[batch, anchor].clamp(min=0)
    height, width = dense.prototypes.shape[2:]
    with torch.autocast("cpu", torch.bfloat16):
        logit = torch.bmm(dense.coefficients[batch, anchor], dense.prototypes.flatten(2))
    logit, mask = logit.float(), targets.masks[batch, owner].flatten(2)
    box = targets.boxes[batch, owner] / 4
    x = torch.arange(width) + 0.5
    y = torch.arange(height) + 0.5
    # One cell of margin: predicted boxes, which crop the mask later, may be slightly larger.
    in_x = (x > box[..., :1] - 1) & (x < box[..., 2:3] + 1)
    in_y = (y > box[..., 1:2] - 1) & (y < box[..., 3:] + 1)
    window = (in_y[..., :, None] & in_x[..., None, :]).flatten(2).float()
    entropy = nnf.binary_cross_entropy_with_logits(logit, mask, weight=window, reduction="none")
    entropy = entropy.sum(2) / window.sum(2).clamp(min=1)
    chance = logit.sigmoid() * window
    dice = 1 - (2 * (chance * mask).sum(2) + 1) / ((chance + mask * window).sum(2) + 1)
    return ((entropy + 0.5 * dice) * picked).sum() / picked.sum().clamp(min=1)


def total_loss(dense: Dense, targets: Targets) -> tuple[Tensor, dict[str, float]]:
    """Return the weighted sum of the losses, and each loss for the log."""
    boxes = dense.boxes()
    owner, soft = assign(dense, boxes.detach(), targets)
    image, anchor = torch.nonzero(owner >= 0, as_tuple=True)
    picked = owner[image, anchor]
    wanted = torch.zeros_like(dense.logits)
    wanted[image, anchor, targets.classes[image, picked]] = soft[image, anchor]
    norm = soft.sum().clamp(min=1.0)
    entropy = nnf.binary_cross_entropy_with_logits(dense.logits, wanted, reduction="sum")
    parts = {"class": entropy / norm}
    if image.numel():
        weight = soft[image, anchor]
        truth = targets.boxes[image, picked]
        iou = box_iou(boxes[image, anchor], truth, generalised=True)
        parts["iou"] = ((1 - iou) * weight).sum() / norm
        parts["bins"] = (_bin_loss(dense, image, anchor, truth) * weight).sum() / norm
        parts["mask"] = mask_loss(dense, targets, owner)
    total = sum(WEIGHTS[name] * value for name, value in parts.items())
    return total, {name: float(value.detach()) for name, value in parts.items()}


def _bin_loss(dense: Dense, image: Tensor, anchor: Tensor, truth: Tensor) -> Tensor:
    centre, stride = dense.centres[anchor], dense.strides[anchor]
    reach = torch.cat([centre - truth[:, :2], truth[:, 2:] - centre], -1) / stride
    reach = reach.clamp(0, DISTANCE_BINS - 1 - 0.01)
    low = reach.long()
    share = reach - low
    bins = dense.bins[image, anchor].flatten(0, 1)
    lower = nnf.cross_entropy(bins, low.flatten(), reduction="none").view_as(reach)
    upper = nnf.cross_entropy(bins, low.flatten() + 1, reduction="none").view_as(reach)
    return (lower * (1 - share) + upper * share).mean(-1)
