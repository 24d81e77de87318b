# SPDX-License-Identifier: Apache-2.0
"""Trains the network on the CPU with PyTorch; a run can be resumed from its last checkpoint.

Each process runs one thread, and the processes synchronise once per step. On a shared machine, this
needs a third of the CPU time of one process with two threads, which synchronise in every layer.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.distributed as dist
from data import INPUT_SIDE
from losses import Targets, flatten, total_loss
from network import build_trunk, torch_layers
from sprites import LABELS
from tqdm import tqdm

CHECKPOINT_EVERY = 200


@dataclass(frozen=True)
class Recipe:
    """All hyperparameters of the training.

    The training begins with small images and a constant learning rate; its last `tail` steps use
    the full size and a decreasing rate. A resumed run may change `steps` and `tail` before the tail
    begins.
    """

    steps: int = 2400
    tail: int = 700
    batch: int = 16
    rate: float = 2e-3
    decay: float = 0.02
    warmup: int = 300
    small_side: int = 224
    average: float = 0.998
    seed: int = 20262

    def side(self, step: int) -> int:
        """Input side at a step."""
        return self.small_side if step < self.steps - self.tail else INPUT_SIDE

    def rate_at(self, step: int) -> float:
        """Learning rate at a step: linear warm-up, constant, linear down to 1 %."""
        rise = (step + 1) / self.warmup
        fall = 0.01 + 0.99 * (self.steps - step) / self.tail
        return self.rate * min(rise, 1.0, fall)


class SceneBatches:
    """Creates the batch of any step, so that a resumed run continues the same sequence."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        paths = sorted(folder.glob("shard_???.npz"))
        if not paths:
            message = f"no shards in {folder}; run: python data.py train {folder}"
            raise FileNotFoundError(message)
        self.recipe = recipe
        self.shards = [_read_shard(path) for path in paths]

    def at(self, step: int, rank: int, ranks: int) -> tuple[torch.Tensor, Targets]:
        """Return the part of a batch for one process: uint8 images (B, 3, h, w) and targets."""
        rng = np.random.default_rng([self.recipe.seed, 1 << 20, step, rank])
        side, share = self.recipe.side(step), self.recipe.batch // ranks
        first = step * self.recipe.batch + rank * share
        images, rows = [], []
        for position in range(first, first + share):
            image, ids, classes = self._scene(position)
            image, ids = self._augment(rng, image, ids, side)
            images.append(image.transpose(2, 0, 1))
            rows.append((ids, classes))
        return torch.from_numpy(np.stack(images)), make_targets(rows)

    def _scene(self, position: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        size = len(self.shards[0]["images"])
        count = size * len(self.shards)
        epoch, offset = divmod(position, count)
        order = np.random.default_rng([self.recipe.seed, epoch]).permutation(count)
        number, row = divmod(int(order[offset]), size)
        shard = self.shards[number]
        return shard["images"][row], shard["ids"][row], shard["classes"][row]

    def _augment(
        self, rng: np.random.Generator, image: np.ndarray, ids: np.ndarray, side: int
    ) -> tuple[np.ndarray, np.ndarray]:
        if rng.random() < 0.5:
            image, ids = image[:, ::-1], ids[:, ::-1]
        if rng.random() < 0.2:
            image, ids = image[::-1], ids[::-1]
        if rng.random() < 0.3:
            image, ids = image.transpose(1, 0, 2), ids.T
        zoom = np.exp(rng.uniform(-0.25, 0.35, 2)) if rng.random() < 0.6 else np.ones(2)
        scale = zoom * side / INPUT_SIDE
        slack = side - scale * INPUT_SIDE
        shift = slack * rng.random(2) + 0.5 * (scale - 1.0)
        matrix = np.float64([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])
        fill = tuple(float(v) for v in np.asarray(image).mean((0, 1)))
        flags = cv2.INTER_AREA if scale.max() < 0.8 else cv2.INTER_LINEAR
        moved = cv2.warpAffine(
            np.ascontiguousarray(image), matrix, (side, side), flags=flags, borderValue=fill
        )
        moved_ids = cv2.warpAffine(
            np.ascontiguousarray(ids), matrix, (side, side), flags=cv2.INTER_NEAREST
        )
        return cv2.convertScaleAbs(moved, alpha=rng.uniform(0.75, 1.25)), moved_ids


def _read_shard(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return dict(stored)


def make_targets(samples: list[tuple[np.ndarray, np.ndarray]]) -> Targets:
    """Convert (ids, classes) pairs to padded boxes, classes and masks at a quarter of the size."""
    rows = [_instances(ids, classes) for ids, classes in samples]
    side = samples[0][0].shape[0] // 4
    widest = max(1, *(len(labels) for _, labels, _ in rows))
    boxes = np.zeros((len(rows), widest, 4), np.float32)
    classes = np.full((len(rows), widest), -1, np.int64)
    masks = np.zeros((len(rows), widest, side, side), np.float32)
    for index, (row_boxes, labels, row_masks) in enumerate(rows):
        if labels:
            boxes[index, : len(labels)] = row_boxes
            classes[index, : len(labels)] = labels
            masks[index, : len(labels)] = row_masks
    return Targets(torch.from_numpy(boxes), torch.from_numpy(classes), torch.from_numpy(masks))


def _instances(
    ids: np.ndarray, classes: np.ndarray
) -> tuple[list[list[int]], list[int], list[np.ndarray]]:
    boxes, labels, masks = [], [], []
    side = ids.shape[0]
    for number in np.unique(ids[ids > 0]):
        mask = (ids == number).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(mask)
        if min(width, height) < 5:
            continue
        boxes.append([x, y, x + width, y + height])
        labels.append(int(classes[number - 1]))
        coverage = mask.reshape(side // 4, 4, side // 4, 4).mean((1, 3), dtype=np.float32)
        masks.append(coverage)
    return boxes, labels, masks


class Trainer:
    """The network, the moving average of its weights, and the optimiser; can save and restore."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.folder, self.step, self.seconds = recipe, folder, 0, 0.0
        self.net = build_trunk(torch_layers(), len(LABELS))
        for level in self.net.levels:
            torch.nn.init.constant_(level.logits.bias, -4.6)  # prior probability of 1 % per class
        self.net = self.net.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        flat = [p for p in self.net.parameters() if p.ndim < 2]
        deep = [p for p in self.net.parameters() if p.ndim >= 2]
        groups = [{"params": deep}, {"params": flat, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(
            groups, lr=recipe.rate, weight_decay=recipe.decay, fused=True
        )
        self._restore()

    def update(self, images: torch.Tensor, targets: Targets) -> dict[str, float]:
        """Run one optimisation step; return the parts of the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        # The loss samples anchors at random; with a seed per step, a resumed run samples the same.
        torch.manual_seed(self.recipe.seed + self.step)
        pixels = images.float().div_(255).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = self.net(pixels)
        loss, parts = total_loss(flatten(outputs), targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._share_gradients()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 10.0)
        self.optimizer.step()
        self.step += 1
        self._follow()
        return parts

    def save(self) -> None:
        """Write `checkpoint.pt` to resume from, and `weights.npz` (the moving average) to export.

        The checkpoint is renamed when it is complete, so an interruption leaves no partial file.
        """
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "recipe": asdict(self.recipe),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        part = self.folder / "checkpoint.part"
        torch.save(state, part)
        part.rename(self.folder / "checkpoint.pt")
        weights = {name: value.numpy() for name, value in self.average.state_dict().items()}
        np.savez(self.folder / "weights.npz", labels=np.array(LABELS), **weights)

    def _share_gradients(self) -> None:
        if not dist.is_initialized():
            return
        parameters = list(self.net.parameters())
        flat = torch.cat([p.grad.flatten() for p in parameters])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for p, grad in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            p.grad.copy_(grad.view_as(p.grad))

    @torch.no_grad()
    def _follow(self) -> None:
        keep = min(self.recipe.average, (self.step + 1) / (self.step + 10))
        ours, theirs = self.average.state_dict(), self.net.state_dict()
        names = [name for name, value in ours.items() if value.is_floating_point()]
        torch._foreach_lerp_([ours[n] for n in names], [theirs[n] for n in names], 1 - keep)

    def _restore(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        _check_same_recipe(path, state, self.recipe)
        self.step, self.seconds = state["step"], state["seconds"]
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


def _check_same_recipe(path: Path, state: dict, recipe: Recipe) -> None:
    wanted, stored = asdict(recipe), dict(state["recipe"])
    if state["step"] <= min(recipe.steps - recipe.tail, stored["steps"] - stored["tail"]):
        stored.update(steps=recipe.steps, tail=recipe.tail)
    if stored != wanted:
        message = (
            f"{path}: expected a checkpoint of {wanted}; received one of {stored}."
            " Pass the same options, or use a new folder."
        )
        raise ValueError(message)


def train(
    shards: Path, folder: Path, recipe: Recipe, *, processes: int = 1, stop_at: int | None = None
) -> None:
    """Train with a recipe, or resume from `folder/checkpoint.pt`.

    Args:
        shards: folder with the output of `data.py train`.
        folder: folder for `checkpoint.pt` and `log.jsonl`.
        recipe: hyperparameters; the batch is divided among the processes.
        processes: number of processes, with one thread each.
        stop_at: stop after this step, so that the run can be resumed later.
    """
    folder.mkdir(parents=True, exist_ok=True)
    batches = SceneBatches(shards, recipe)
    if processes == 1:
        _run(0, 1, batches, folder, stop_at)
        return
    (folder / "rendezvous").unlink(missing_ok=True)
    # Forked processes share the shards instead of loading them again.
    torch.multiprocessing.start_processes(
        _run, (processes, batches, folder, stop_at), nprocs=processes, start_method="fork"
    )


def _run(rank: int, ranks: int, batches: SceneBatches, folder: Path, stop_at: int | None) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if ranks > 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        meeting = f"file://{(folder / 'rendezvous').resolve()}"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=ranks)
    recipe = batches.recipe
    trainer = Trainer(recipe, folder)
    last = recipe.steps if stop_at is None else min(stop_at, recipe.steps)
    bar = tqdm(total=last, initial=trainer.step, desc="train", mininterval=5, disable=rank > 0)
    began, before = time.perf_counter(), trainer.seconds
    with (folder / f"log{rank or ''}.jsonl").open("a") as log:
        while trainer.step < last:
            parts = trainer.update(*batches.at(trainer.step, rank, ranks))
            trainer.seconds = before + time.perf_counter() - began
            bar.update()
            if trainer.step % 20 == 0 or trainer.step == last:
                bar.set_postfix({name: f"{value:.3f}" for name, value in parts.items()})
                line = {"step": trainer.step, "seconds": round(trainer.seconds, 1), **parts}
                log.write(json.dumps(line) + "\n")
                log.flush()
            if rank == 0 and (trainer.step % CHECKPOINT_EVERY == 0 or trainer.step == last):
                trainer.save()
    if ranks > 1:
        dist.barrier()
        dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    train(args.shards, args.folder, Recipe(steps=args.steps), processes=args.processes)


if __name__ == "__main__":
    main()
